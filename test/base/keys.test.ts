import test from 'ava';
import { fromHex, toHex, utf8 } from '../../base/bytes.ts';
import { sha256 } from '../../base/hash.ts';
import {
  addressOf,
  addressOfSecret,
  loadNativeSecp256k1,
  nobleSecp256k1,
  recoverSigner,
  signDigest,
} from '../../base/keys.ts';
import { prng } from '../../base/prng.ts';

/** The first account of the well-known test mnemonic "test test ... junk" (BIP-39, m/44'/60'/0'/0/0). */
const SECRET = fromHex('0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80');
const ADDRESS = '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266';

test('the address of a known key', (t) => {
  t.is(addressOfSecret(SECRET), ADDRESS);
  t.is(addressOf(nobleSecp256k1.publicKey(SECRET)), ADDRESS);
});

test('a signature recovers to its signer, and a changed one does not', (t) => {
  const digest = sha256(utf8('message'));
  const signature = signDigest(digest, SECRET);
  t.is(recoverSigner(digest, signature), ADDRESS);
  for (let at = 0; at < 64; at += 7) {
    const changed = signature.slice();
    changed[at] = (changed[at] as number) ^ 1;
    t.not(recoverSigner(digest, changed), ADDRESS);
  }
  t.is(recoverSigner(digest, signature.subarray(1)), null);
  t.is(recoverSigner(digest, Uint8Array.of(...signature.subarray(0, 64), 29)), null);
});

test('the high-s twin of a signature is refused', (t) => {
  const digest = sha256(utf8('malleable'));
  const signature = signDigest(digest, SECRET);
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const s = order - BigInt(toHex(signature.subarray(32, 64)));
  const twin = Uint8Array.of(
    ...signature.subarray(0, 32),
    ...fromHex(`0x${s.toString(16).padStart(64, '0')}`),
    (signature[64] as number) ^ 1,
  );
  t.is(recoverSigner(digest, twin), null);
});

test('native and noble sign and recover alike', (t) => {
  const native = loadNativeSecp256k1();
  if (native === null) {
    t.log('skipped: the native secp256k1 binary does not load here');
    t.pass();
    return;
  }
  const random = prng('keys');
  for (let i = 0; i < 200; i++) {
    const secret = random.bytes(32);
    const digest = random.bytes(32);
    const a = native.sign(digest, secret);
    t.deepEqual(nobleSecp256k1.sign(digest, secret), a);
    const point = native.recover(digest, a.compact, a.recovery);
    t.deepEqual(nobleSecp256k1.recover(digest, a.compact, a.recovery), point);
    t.deepEqual(point, native.publicKey(secret));
    const junk = random.bytes(64);
    t.deepEqual(nobleSecp256k1.recover(digest, junk, 0), native.recover(digest, junk, 0));
  }
});
