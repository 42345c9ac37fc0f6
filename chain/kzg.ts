// Owns the check of the point evaluation precompile (0x0a, EIP-4844): that a committed polynomial takes a value at a point.
// It needs one point of the ceremony's setup only; the libraries for blobs load and check all 8,257, for seconds.

import {
  BLS12_381,
  G1,
  G2,
  Fr,
  finalExp,
  init,
  millerLoop,
  mul,
  neg,
  setETHserialization,
  sub,
  verifyOrderG1,
} from 'mcl-wasm';
import type { KZG as KzgLibrary } from '@ethereumjs/util';
import { equal, fromHex, isHex, toBigInt } from '../base/bytes.ts';
import { present } from '../base/check.ts';

const POINT_BYTES = 48;
const SCALAR_BYTES = 32;
/** Order of the groups of BLS12-381. */
const ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001n;
/** Modulus of the field of BLS12-381. */
const FIELD = 0x1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaabn;
/** The base points, and the base point of G2 times the ceremony's secret: g2_monomial[1] of trusted_setup_4096.json. */
const G1_BASE = '97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb';
const G2_BASE =
  '93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e' +
  '024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8';
const G2_SECRET =
  'b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72' +
  '185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2';

type Setup = Readonly<{ g1: G1; g2: G2; secret: G2 }>;
let setup: Setup | null = null;

async function prepare(): Promise<void> {
  await init(BLS12_381);
  setETHserialization(true);
  verifyOrderG1(true);
  const g2 = (hex: string): G2 => {
    const point = new G2();
    point.deserialize(fromHex(`0x${hex}`));
    return point;
  };
  const g1 = new G1();
  g1.deserialize(fromHex(`0x${G1_BASE}`));
  setup = { g1, g2: g2(G2_BASE), secret: g2(G2_SECRET) };
}

let preparing: Promise<void> | null = null;

/** Must have resolved before a proof is verified. */
export function prepareKzg(): Promise<void> {
  preparing ??= prepare();
  return preparing;
}

/** A point of G1 in its 48 compressed bytes (the encoding of EIP-4844's BLS12-381 library), or null. */
function pointOf(bytes: Uint8Array): G1 | null {
  const flags = bytes[0] ?? 0;
  if (bytes.length !== POINT_BYTES || (flags & 0x80) === 0) return null;
  if ((flags & 0x40) !== 0) return bytes.every((byte, i) => byte === (i === 0 ? 0xc0 : 0)) ? new G1() : null;
  const x = bytes.slice();
  x[0] = flags & 0x1f;
  if (toBigInt(x) >= FIELD) return null;
  const point = new G1();
  try {
    point.deserialize(bytes);
  } catch {
    return null;
  }
  // What was read must be what is written: no second encoding of a point.
  return equal(point.serialize(), bytes) ? point : null;
}

function scalarOf(bytes: Uint8Array): Fr | null {
  if (bytes.length !== SCALAR_BYTES || toBigInt(bytes) >= ORDER) return null;
  const scalar = new Fr();
  scalar.setBigEndianMod(bytes);
  return scalar;
}

/**
 * Whether the polynomial behind `commitment` (48 bytes) is `y` at `z` (32 bytes each), by `proof` (48 bytes); all as 0x hex.
 * False for anything malformed. EIP-4844, verify_kzg_proof: e(C - y, G2) = e(proof, secret - z).
 */
export function verifyKzgProof(commitment: string, z: string, y: string, proof: string): boolean {
  const { g1, g2, secret } = present(setup, 'prepareKzg has resolved');
  if (![commitment, z, y, proof].every((text) => isHex(text))) return false;
  const [c, p] = [pointOf(fromHex(commitment)), pointOf(fromHex(proof))];
  const [at, value] = [scalarOf(fromHex(z)), scalarOf(fromHex(y))];
  if (c === null || p === null || at === null || value === null) return false;
  const left = millerLoop(sub(c, mul(g1, value)), neg(g2));
  const right = millerLoop(p, sub(secret, mul(g2, at)));
  return finalExp(mul(left, right)).isOne();
}

const noBlobs = (): never => {
  throw new Error('this chain has no blobs');
};

/** What the EVM library asks for. Blob transactions are refused long before (transaction.ts). */
export const KZG: KzgLibrary = {
  verifyProof: verifyKzgProof,
  blobToKzgCommitment: noBlobs,
  computeBlobProof: noBlobs,
  verifyBlobProofBatch: noBlobs,
  computeCells: noBlobs,
  computeCellsAndProofs: noBlobs,
  recoverCellsAndProofs: noBlobs,
  verifyCellKzgProofBatch: noBlobs,
};
