// Owns the full check of a node's database while the node stands still: every block against its roots, the whole state
// against its tries, every row against its checksum.

import { join } from 'node:path';
import { toHex } from '../base/bytes.ts';
import { type Result, success } from '../base/fault.ts';
import { type Audit, auditBlocks, auditState } from '../chain/audit.ts';
import { openChain } from '../chain/chain.ts';
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
  const opened = await openChain({ directory, genesis, create: false, firstSetHash });
  if (!opened.ok) return opened;
  const chain = opened.value;
  const { stateRoot } = chain.head().header;
  const blocks = await auditBlocks(chain, progress).finally(() => chain.close());
  if (!blocks.ok) return blocks;
  const state = await auditState(directory, stateRoot);
  return state.ok ? success({ ...state.value, blocks: blocks.value }) : state;
}
