// Owns the answer of eth_config (EIP-7910): the one fork this chain has had since genesis. A later fork adds a second entry.

import { crc32 } from 'node:zlib';
import { fromHex, type Hex, u32be, toHex } from '../base/bytes.ts';
import type { Chain } from '../chain/api.ts';
import { BEACON_ROOTS, HISTORY_STORAGE } from '../chain/predeploys.ts';
import { quantityOf } from './format.ts';

/** Precompiled contracts of Prague by address, in the names of EIP-7910. */
const PRECOMPILES = [
  'ECREC',
  'SHA256',
  'RIPEMD160',
  'ID',
  'MODEXP',
  'BN254_ADD',
  'BN254_MUL',
  'BN254_PAIRING',
  'BLAKE2F',
  'KZG_POINT_EVALUATION',
  'BLS12_G1ADD',
  'BLS12_G1MSM',
  'BLS12_G2ADD',
  'BLS12_G2MSM',
  'BLS12_PAIRING_CHECK',
  'BLS12_MAP_FP_TO_G1',
  'BLS12_MAP_FP2_TO_G2',
] as const;

/** Fraction of Prague's blob fee (EIP-7691); target and max are 0 because no blobs are carried. */
const BLOB_FEE_FRACTION = 5_007_716;

/** The configuration in force; `next` and `last` are null while no other fork is known. */
export function forkConfig(chain: Chain): Readonly<Record<string, unknown>> {
  const precompiles = PRECOMPILES.map((name, i): [string, Hex] => [
    name,
    `0x${(i + 1).toString(16).padStart(40, '0')}`,
  ]);
  return {
    current: {
      activationTime: 0,
      blobSchedule: { target: 0, max: 0, baseFeeUpdateFraction: BLOB_FEE_FRACTION },
      chainId: quantityOf(chain.chainId),
      // EIP-2124: forks active at genesis are not added to the checksum.
      forkId: toHex(u32be(crc32(fromHex(chain.genesisHash)))),
      precompiles: Object.fromEntries(precompiles.sort(([a], [b]) => (a < b ? -1 : 1))),
      systemContracts: { BEACON_ROOTS_ADDRESS: BEACON_ROOTS, HISTORY_STORAGE_ADDRESS: HISTORY_STORAGE },
    },
    next: null,
    last: null,
  };
}
