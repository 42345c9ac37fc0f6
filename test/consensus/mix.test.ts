// Owns tests of the beacon: one mix for each author and parent, proved by it alone.

import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { secp256k1 } from '../../base/keys.ts';
import { beaconAlpha, nextMix, proveBeacon, verifyBeacon } from '../../consensus/mix.ts';
import { secret } from './fake-network.ts';

const parent = new Uint8Array(32).fill(5);

test('the author’s proof leads everybody to its mix, and no other key, height, chain or parent does', (t) => {
  const author = secp256k1.publicKey(secret(0));
  const { proof, mix } = proveBeacon(504_101, 7, parent, secret(0));
  t.is(proof.length, 81);
  t.deepEqual(verifyBeacon(504_101, 7, parent, author, proof), mix);
  t.deepEqual(proveBeacon(504_101, 7, parent, secret(0)).mix, mix, 'there is nothing to choose');
  t.is(verifyBeacon(504_101, 7, parent, secp256k1.publicKey(secret(1)), proof), null);
  t.is(verifyBeacon(504_101, 8, parent, author, proof), null);
  t.is(verifyBeacon(504_102, 7, parent, author, proof), null);
  t.is(verifyBeacon(504_101, 7, new Uint8Array(32), author, proof), null);
});

test('the hashes of the beacon are pinned: they are part of the protocol', (t) => {
  t.is<string, string>(toHex(beaconAlpha(504_101, 7, parent)), PINNED.alpha);
  t.is<string, string>(toHex(nextMix(parent, new Uint8Array(32).fill(6))), PINNED.mix);
});

const PINNED = {
  alpha: '0xf80f80ec47ae4f17b2ac8f553aed3cd6c69fa920fa772a4464371838a86d27df',
  mix: '0x58936a428cae4506aad27e6edd3486eaf82fa631de137614989a2137d0d61be8',
};
