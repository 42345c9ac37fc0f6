// Owns the refusal of bad blocks: each header field, the body, the wire form; every Fault names what is wrong.

import test from 'ava';
import { concat, utf8 } from '../../base/bytes.ts';
import { fault, unwrap } from '../../base/fault.ts';
import type { BlockRecord, Candidate, Chain, Header } from '../../chain/api.ts';
import { encodeBlock } from '../../chain/block-codec.ts';
import { keccakHex } from '../../chain/keccak.ts';
import { decodeRlp, encodeRlp, type Item } from '../../chain/rlp.ts';
import { alice, bob, build, mine, signed, testChain } from './support.ts';

const OTHER = `0x${'ab'.repeat(32)}` as const;

async function refusal(chain: Chain, wire: Uint8Array): Promise<string> {
  const result = await chain.validateBlock(wire);
  return result.ok ? 'accepted' : result.message;
}

function withHeader(candidate: Candidate, change: Partial<Header>): Uint8Array {
  return encodeBlock({ ...candidate.block, header: { ...candidate.block.header, ...change } });
}

function withBody(candidate: Candidate, change: Partial<BlockRecord>): Uint8Array {
  return encodeBlock({ ...candidate.block, ...change });
}

test('each wrong header field is refused by name', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  await mine(chain);
  const good = await build(chain, [signed(alice, 0, { value: 1n })]);
  const { header } = good.block;
  const cases: Partial<Header>[] = [
    { parentHash: OTHER },
    { ommersHash: OTHER },
    { stateRoot: OTHER },
    { transactionsRoot: OTHER },
    { receiptsRoot: OTHER },
    { logsBloom: `0x${'01'.repeat(256)}` },
    { difficulty: 1n },
    { number: header.number + 1 },
    { gasLimit: header.gasLimit + 1n },
    { gasUsed: header.gasUsed + 1n },
    { timestamp: header.timestamp - 1 },
    { nonce: '0x0000000000000001' },
    { baseFeePerGas: header.baseFeePerGas + 1n },
    { withdrawalsRoot: OTHER },
    { blobGasUsed: 1n },
    { excessBlobGas: 1n },
    { parentBeaconBlockRoot: OTHER },
    { requestsHash: OTHER },
  ];
  for (const change of cases) {
    const [field] = Object.keys(change);
    t.regex(await refusal(chain, withHeader(good, change)), new RegExp(`^header\\.${field}: `), field);
  }
  t.is(await refusal(chain, good.wire), 'accepted');
});

test('coinbase, mix, next set and timestamp ahead are judged by the check that is passed in', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const good = await build(chain);
  const seen: number[] = [];
  const refused = await chain.validateBlock(good.wire, (block, parent) => {
    seen.push(block.header.number, parent.number);
    return fault('badMix', 'header.mixHash: not the beacon mix');
  });
  t.deepEqual(seen, [1, 0]);
  t.is(refused.ok ? '' : refused.code, 'badMix');
});

test('a body that does not match its header is refused by name', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  await mine(chain);
  const good = await build(chain, [signed(alice, 0, { value: 1n })]);
  const more = signed(bob, 0, { value: 1n });
  t.regex(
    await refusal(chain, withBody(good, { transactions: [...good.block.transactions, more] })),
    /^header\.gasUsed/,
  );
  t.regex(await refusal(chain, withBody(good, { transactions: [] })), /^header\.gasUsed/);
  t.regex(
    await refusal(chain, withBody(good, { transactions: [signed(alice, 0, { value: 2n })] })),
    /^header\.transactionsRoot/,
  );
  t.regex(
    await refusal(chain, withBody(good, { transactions: [signed(alice, 1)] })),
    /^block\.transactions\[0\].*nonce/,
  );
  const paid = { index: 0n, validatorIndex: 0n, address: bob.address, amount: 1n };
  t.regex(await refusal(chain, withBody(good, { withdrawals: [paid] })), /^block\.withdrawals/);
  t.regex(
    await refusal(chain, withBody(good, { parentCertificate: utf8('forged') })),
    /^header\.parentBeaconBlockRoot/,
  );
});

test('block 1 carries no parent certificate', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const good = await build(chain);
  const parentCertificate = utf8('some');
  const forged = withBody(
    {
      ...good,
      block: { ...good.block, header: { ...good.block.header, parentBeaconBlockRoot: keccakHex(parentCertificate) } },
    },
    { parentCertificate },
  );
  t.regex(await refusal(chain, forged), /^block\.parentCertificate/);
});

test('wire bytes that are not the one canonical form are refused', async (t) => {
  const { chain, dispose } = await testChain({ limits: { blockBytes: 100_000 } });
  t.teardown(dispose);
  const { wire } = await build(chain, [signed(alice, 0)]);
  const items = decodeRlp(wire) as Item[];
  const header = items[0] as Item[];
  const bent = (change: (copy: Item[]) => void): Uint8Array => {
    const copy = header.slice();
    change(copy);
    return encodeRlp([copy, ...items.slice(1)]);
  };
  t.regex(await refusal(chain, concat(wire, Uint8Array.of(0))), /canonical/);
  t.regex(await refusal(chain, wire.subarray(0, wire.length - 1)), /canonical/);
  t.regex(await refusal(chain, new Uint8Array(0)), /canonical|list/);
  t.regex(await refusal(chain, new Uint8Array(100_001)), /limit 100000/);
  t.regex(await refusal(chain, encodeRlp([...items, new Uint8Array(0)])), /6 fields/);
  t.regex(
    await refusal(
      chain,
      bent((copy) => copy.push(new Uint8Array(0))),
    ),
    /22 fields/,
  );
  t.regex(
    await refusal(
      chain,
      bent((copy) => (copy[8] = Uint8Array.of(0, 1))),
    ),
    /header\.number/,
  );
  t.regex(
    await refusal(
      chain,
      bent((copy) => (copy[12] = utf8('long extra data that is not thirty-two'))),
    ),
    /header\.extraData/,
  );
  t.regex(
    await refusal(
      chain,
      bent((copy) => (copy[2] = [])),
    ),
    /header\.coinbase/,
  );
  t.regex(
    await refusal(chain, encodeRlp([header, [Uint8Array.of(3, 1, 2)], [], items[3] as Item, items[4] as Item])),
    /type not supported/,
  );
  t.regex(
    await refusal(
      chain,
      encodeRlp([header, items[1] as Item, items[2] as Item, new Uint8Array(20_000), items[4] as Item]),
    ),
    /parentCertificate/,
  );
});

test('random damage to a block never throws and never passes', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const { wire, hash, block } = await build(chain, [signed(alice, 0)]);
  // The proof at the end is bound by mixHash, which the passed-in check judges.
  for (let at = 0; at < wire.length - block.vrfProof.length; at += 7) {
    const bent = wire.slice();
    bent[at] = (bent[at] as number) ^ 0x41;
    const result = await chain.validateBlock(bent);
    if (result.ok) t.not(result.value.hash, hash, `byte ${at}`);
  }
  t.is(chain.head().header.number, 0);
});

test('a candidate that no longer stands on the head is not committed', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const one = await build(chain);
  const two = await build(chain, [signed(alice, 0)]);
  await chain.commit(two, utf8('certificate'));
  await t.throwsAsync(chain.commit(one, utf8('certificate')), { message: /does not stand on the head/ });
  t.is(chain.head().hash, two.hash);
  t.regex(await refusal(chain, one.wire), /^header\.timestamp/);
});

test('a proposer leaves out what does not run and says why', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const gapped = signed(alice, 5);
  const poor = signed(bob, 0, { value: 10n ** 20n });
  const large = signed(alice, 0, { gas: 29_990_000n });
  const { block, left } = await build(chain, [gapped, poor, signed(alice, 0), large]);
  t.is(block.transactions.length, 1);
  t.deepEqual(
    left.map((one) => one.hash),
    [gapped.hash, poor.hash, large.hash],
  );
  t.regex(left[0]?.fault.message ?? '', /nonce/);
  t.regex(left[1]?.fault.message ?? '', /funds/);
  t.is(left[2]?.fault.message, 'gas limit reached');
});

test('a time budget ends a block early', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  let now = 0;
  const { header } = chain.head();
  const transactions = Array.from({ length: 5 }, (_, nonce) => signed(alice, nonce));
  const built = await chain.buildBlock({
    timestamp: header.timestamp + 1,
    author: alice.address,
    mix: OTHER,
    vrfProof: new Uint8Array(0),
    parentCertificate: new Uint8Array(0),
    nextSetHash: OTHER,
    transactions,
    budget: { budgetMs: 10, now: () => (now += 4) },
  });
  t.true(unwrap(built).block.transactions.length < 5);
});
