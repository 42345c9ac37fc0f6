// Owns the full check of a node's database while the node stands still: every file and row against its checksum, every block
// against its roots, the whole state against its tries.

import { join } from 'node:path';
import { toHex } from '../base/bytes.ts';
import type { Result } from '../base/fault.ts';
import { type Audit, auditDatabase } from '../chain/audit.ts';
import { validatorSetHash } from '../consensus/validator-set.ts';
import type { Config } from './config.ts';
import { readGenesis } from './node.ts';

/** What was found right, or a Fault that names the block, the account or the row that is wrong. */
export async function checkDatabase(config: Config, progress: (height: number) => void): Promise<Result<Audit>> {
  const definition = readGenesis(config.genesis_file);
  if (!definition.ok) return definition;
  const { genesis } = definition.value;
  const directory = join(config.data_dir, 'chain');
  const firstSetHash = toHex(validatorSetHash(genesis.authorities.map(({ address }) => address)));
  return auditDatabase({ directory, genesis, create: false, firstSetHash }, progress);
}
