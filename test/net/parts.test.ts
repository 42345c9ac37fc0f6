import fc from 'fast-check';
import test from 'ava';
import { toHex, utf8 } from '../../base/bytes.ts';
import { addressOfSecret, signDigest } from '../../base/keys.ts';
import { endpointOf, isLoopback, parseAddress, subnetOf, toMultiaddr } from '../../net/addresses.ts';
import { nodeBindingDigest, nodePublicKey, verifyBinding } from '../../net/node-binding.ts';
import { NET_LIMITS } from '../../net/limits.ts';
import { createPenalties } from '../../net/penalties.ts';
import { seenCache } from '../../net/seen-cache.ts';
import { decodeStatus, encodeStatus } from '../../net/status.ts';
import { tokenBucket } from '../../net/token-bucket.ts';

const PEER = '12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5';

test('addresses are read in every published form and written as multiaddrs', (t) => {
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['127.0.0.1:8000', '/ip4/127.0.0.1/tcp/8000/ws'],
    ['localhost:8000', '/dns/localhost/tcp/8000/ws'],
    ['boot.example.org:1', '/dns/boot.example.org/tcp/1/ws'],
    ['[::1]:8000', '/ip6/::1/tcp/8000/ws'],
    ['ws://10.0.0.1:80/', '/ip4/10.0.0.1/tcp/80/ws'],
    ['wss://a.example:443', '/dns/a.example/tcp/443/tls/ws'],
    ['/ip4/10.0.0.1/tcp/8000', '/ip4/10.0.0.1/tcp/8000/ws'],
    [`/dns4/a.example/tcp/443/tls/ws/p2p/${PEER}`, `/dns/a.example/tcp/443/tls/ws/p2p/${PEER}`],
    ['/ip4/10.0.0.1/tcp/8000/wss', '/ip4/10.0.0.1/tcp/8000/tls/ws'],
  ];
  for (const [text, multiaddr] of cases) {
    const parsed = parseAddress(text);
    t.true(parsed.ok, text);
    if (parsed.ok) t.is(toMultiaddr(parsed.value), multiaddr);
  }
  t.is(endpointOf({ host: 'LOCALHOST', port: 1 }), endpointOf({ host: '::ffff:127.0.0.1', port: 1 }));
  t.true(isLoopback('127.9.9.9') && isLoopback('::1') && !isLoopback('10.0.0.1'));
  t.is(subnetOf('10.1.2.3'), subnetOf('10.1.2.250'));
  t.is(subnetOf('2001:db8:1::5'), subnetOf('2001:db8:1:ffff::9'));
  t.not(subnetOf('2001:db8:1::5'), subnetOf('2001:db8:2::5'));
});

test('no text makes the address reader throw, and what it accepts survives its own writing', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.webUrl(),
        fc.ipV4(),
        fc.ipV6().map((ip) => `[${ip}]:80`),
      ),
      (text) => {
        const parsed = parseAddress(text);
        if (!parsed.ok) return;
        const again = parseAddress(toMultiaddr(parsed.value));
        t.deepEqual(again.ok && again.value, parsed.value);
      },
    ),
    { numRuns: 2_000 },
  );
  t.pass();
});

test('a status survives encoding, and every wrong field is named', (t) => {
  const secret = new Uint8Array(32).fill(5);
  const status = { height: 7, headHash: toHex(new Uint8Array(32)), role: 'trainer', apiUrl: 'http://a:1' } as const;
  const binding = { address: addressOfSecret(secret), signature: signDigest(new Uint8Array(32).fill(1), secret) };
  const message = {
    chainId: 5,
    genesisHash: toHex(new Uint8Array(32).fill(2)),
    status,
    clockMs: 1_700_000_000_123,
    listen: ['/ip4/1.2.3.4/tcp/5/ws'],
    binding,
  };
  const decoded = decodeStatus(encodeStatus(message), NET_LIMITS);
  t.deepEqual(decoded.ok && decoded.value, message);
  const valid = JSON.parse(new TextDecoder().decode(encodeStatus(message))) as Record<string, unknown>;
  const wrong: ReadonlyArray<readonly [string, unknown]> = [
    ['version', 2],
    ['chainId', 2 ** 53],
    ['chainId', '5'],
    ['genesisHash', '0x12'],
    ['height', -1],
    ['height', 1.5],
    ['headHash', null],
    ['role', 'king'],
    ['role', '__proto__'],
    ['apiUrl', 'javascript:alert(1)'],
    ['apiUrl', `http://${'a'.repeat(300)}`],
    ['listen', Array(50).fill('/ip4/1.2.3.4/tcp/5/ws')],
    ['listen', ['not an address']],
    ['binding', { address: '0x12', signature: '0x' }],
    ['binding', 7],
  ];
  for (const [field, value] of wrong) {
    const refused = decodeStatus(utf8(JSON.stringify({ ...valid, [field]: value })), NET_LIMITS);
    t.false(refused.ok, field);
    if (!refused.ok) t.true(refused.message.includes(`status.${field}`), refused.message);
  }
  for (const text of ['', '[]', 'null', '{', '7', '\u0000']) t.false(decodeStatus(utf8(text), NET_LIMITS).ok);
  t.false(decodeStatus(Uint8Array.of(0xff, 0xfe), NET_LIMITS).ok);
  t.false(decodeStatus(new Uint8Array(NET_LIMITS.statusBytes + 1), NET_LIMITS).ok);
});

test('a binding holds for its node key, chain and genesis only', (t) => {
  const secret = new Uint8Array(32).fill(9);
  const genesis = new Uint8Array(32).fill(3);
  const nodeKey = nodePublicKey(new Uint8Array(32).fill(4));
  const address = addressOfSecret(secret);
  const binding = { address, signature: signDigest(nodeBindingDigest(1, genesis, nodeKey), secret) };
  t.true(verifyBinding(binding, 1, genesis, nodeKey));
  t.false(verifyBinding(binding, 2, genesis, nodeKey));
  t.false(verifyBinding(binding, 1, new Uint8Array(32), nodeKey));
  t.false(verifyBinding(binding, 1, genesis, nodePublicKey(new Uint8Array(32).fill(5))));
  t.false(verifyBinding({ ...binding, address: addressOfSecret(new Uint8Array(32).fill(8)) }, 1, genesis, nodeKey));
  t.false(verifyBinding({ ...binding, signature: new Uint8Array(65) }, 1, genesis, nodeKey));
});

test('the Ed25519 public key of a seed is that of RFC 8032, test 1', (t) => {
  const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
  t.is(toHex(nodePublicKey(seed)), '0xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
});

test('a bucket gives its burst, then its rate, and never more', (t) => {
  let time = 0;
  const bucket = tokenBucket(10, 5, () => time);
  t.true(bucket.take(5));
  t.false(bucket.take(1));
  t.is(bucket.waitMs(1), 100);
  time += 100;
  t.true(bucket.take(1));
  time += 10_000;
  t.false(bucket.take(6));
  t.is(bucket.waitMs(6), Infinity);
  t.true(bucket.take(5));
});

test('points fade, bans end, and neither table grows without bound', (t) => {
  let time = 0;
  const limits = { ...NET_LIMITS, bannedPeers: 3 };
  const penalties = createPenalties(limits, () => time);
  t.false(penalties.add('a', 60));
  time += 100_000;
  t.is(penalties.points('a'), 10);
  t.true(penalties.add('a', 90));
  penalties.ban('a');
  t.true(penalties.isBanned('a'));
  time += limits.banMs;
  t.false(penalties.isBanned('a'));
  for (const peer of ['b', 'c', 'd', 'e']) penalties.ban(peer);
  t.deepEqual(['b', 'c', 'd', 'e'].map(penalties.isBanned), [false, true, true, true]);
});

test('seen ids are forgotten by age and by number, the oldest first', (t) => {
  let time = 0;
  const seen = seenCache(2, 100, () => time);
  seen.add('a');
  seen.add('b');
  seen.add('c');
  t.deepEqual(['a', 'b', 'c'].map(seen.has), [false, true, true]);
  time += 101;
  t.deepEqual(['b', 'c'].map(seen.has), [false, false]);
  seen.add('d');
  t.is(seen.size(), 1);
});
