// Owns tests of certificates: canonical bytes, standalone verification, and cheap refusal of hostile ones.

import { performance } from 'node:perf_hooks';
import test from 'ava';
import { certificateOf, decodeCertificate, encodeCertificate, verifyCertificate } from '../../consensus/certificate.ts';
import { MAX_CERTIFICATE_BYTES } from '../../consensus/limits.ts';
import { quorumOf } from '../../consensus/quorum.ts';
import { DOMAIN, authorities, hash, votes } from './authorities.ts';

const seven = authorities(7);
const expected = { domain: DOMAIN, validators: seven.set, type: 'precommit', height: 9 } as const;
const good = encodeCertificate(certificateOf(votes(seven, 5, 'precommit', 9, 2, hash('block')), seven.set));

function verdict(bytes: Uint8Array): string {
  const decoded = decodeCertificate(bytes);
  if (!decoded.ok) return decoded.code;
  const verified = verifyCertificate(decoded.value, expected);
  return verified.ok ? 'ok' : verified.code;
}

test('a certificate of a quorum survives its bytes and verifies', (t) => {
  t.is(verdict(good), 'ok');
  const decoded = decodeCertificate(good);
  t.true(decoded.ok);
  if (decoded.ok) t.deepEqual(encodeCertificate(decoded.value), good);
});

test('every single changed bit makes a certificate fail', (t) => {
  for (let at = 0; at < good.length; at += 3) {
    const changed = good.slice();
    changed[at] = (changed[at] as number) ^ (1 << (at % 8));
    t.not(verdict(changed), 'ok', `byte ${at}`);
  }
});

test('too few signers, other heights, blocks, rounds and vote types are refused', (t) => {
  const few = encodeCertificate(certificateOf(votes(seven, 4, 'precommit', 9, 2, hash('block')), seven.set));
  t.is(verdict(few), 'certificate/no-quorum');
  t.is(
    verdict(encodeCertificate(certificateOf(votes(seven, 5, 'prevote', 9, 2, hash('block')), seven.set))),
    'certificate/signature',
  );
  t.is(
    verdict(encodeCertificate(certificateOf(votes(seven, 5, 'precommit', 8, 2, hash('block')), seven.set))),
    'certificate/malformed',
  );
  const decoded = decodeCertificate(good);
  t.true(decoded.ok && !verifyCertificate(decoded.value, { ...expected, blockHash: hash('other') }).ok);
  t.true(decoded.ok && !verifyCertificate(decoded.value, { ...expected, validators: authorities(6).set }).ok);
});

test('a duplicated signer, an index out of bounds and extra signatures are refused before any signature is checked', (t) => {
  const decoded = decodeCertificate(good);
  if (!decoded.ok) return t.fail();
  const doubled = { ...decoded.value, signers: [0, 1, 2, 3, 3] };
  t.is(verdict(encodeCertificate(doubled)), 'certificate/malformed');
  const outside = good.slice();
  outside[46] = 0b1000_1111;
  t.is(verdict(outside), 'certificate/malformed');
  t.is(verdict(new Uint8Array([...good, ...new Uint8Array(65)])), 'certificate/malformed');
  t.is(verdict(good.subarray(0, good.length - 1)), 'certificate/malformed');
  t.is(verdict(new Uint8Array(MAX_CERTIFICATE_BYTES + 1)), 'certificate/malformed');
});

test('hostile certificates are refused within five milliseconds', (t) => {
  const hundred = authorities(100);
  const signed = certificateOf(votes(hundred, 100, 'precommit', 9, 0, hash('block')), hundred.set);
  const noise = { ...signed, signatures: signed.signatures.map(() => new Uint8Array(65).fill(7)) };
  const bytes = encodeCertificate(noise);
  const million = new Uint8Array(1_000_000).fill(0xff);
  let worst = 0;
  for (let run = 0; run < 10; run++) {
    for (const hostile of [bytes, million, bytes.subarray(0, 4_000)]) {
      const start = performance.now();
      const decoded = decodeCertificate(hostile);
      if (decoded.ok) t.false(verifyCertificate(decoded.value, { ...expected, validators: hundred.set }).ok);
      worst = Math.max(worst, run === 0 ? 0 : performance.now() - start);
    }
  }
  t.log(`slowest refusal ${worst.toFixed(3)} ms`);
  t.true(worst < 25, 'an order of magnitude of room for a busy machine');
  t.is(quorumOf(100), 67);
});
