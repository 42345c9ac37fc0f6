// Owns final states on a node, where moments are carried: which one a trainer's round goes on from by the chain, and the files
// of those this node made or audited. What they are for is trainer/moments.ts; who asks for them is state-exchange.ts.

import { existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Hex, fromHex } from '../base/bytes.ts';
import type { ViewCall } from '../chain/system/api.ts';
import { readClaim, readRound } from '../chain/system/views.ts';
import { type Carried, MAX_CARRIED_ROUNDS, NOTHING_CARRIED, isFinalState } from '../trainer/moments.ts';
import type { TrainingRules } from '../trainer/rules.ts';
import { FINAL_ROUNDS_KEPT, FINAL_ROUNDS_KEPT_SMALL, FINAL_STATE_BYTES } from './limits.ts';

/** What a trainer's round goes on from: its accepted claim of the round before (rules V-2, V-3). */
export async function carriedBefore(
  view: ViewCall,
  { carryMoments }: Pick<TrainingRules, 'carryMoments'>,
  round: number,
  trainer: Hex,
): Promise<Carried> {
  if (!carryMoments || round === 0) return NOTHING_CARRIED;
  const { roster } = await readRound(view, round - 1);
  if (!roster.some((entry) => entry.trainer === trainer && entry.status === 'accepted')) return NOTHING_CARRIED;
  const { finalStateRoot, carriedRounds } = await readClaim(view, round - 1, trainer);
  return { root: fromHex(finalStateRoot), rounds: Math.min(carriedRounds + 1, MAX_CARRIED_ROUNDS) };
}

const folderOf = (dataDir: string): string => join(dataDir, 'final-states');

/** File of a trainer's final state of a round; whoever writes it checked its root. */
export function finalStateFile(dataDir: string, round: number, trainer: Hex): string {
  return join(folderOf(dataDir), String(round), `${trainer.slice(2)}.bin`);
}

/** The state on this disk that has this root, or null. */
export function heldFinalState(dataDir: string, round: number, trainer: Hex, root: Uint8Array): Uint8Array | null {
  const file = finalStateFile(dataDir, round, trainer);
  if (!existsSync(file)) return null;
  const bytes = new Uint8Array(readFileSync(file));
  return isFinalState(root, bytes, bytes.length) ? bytes : null;
}

/** Removes what no round from `round` on can be asked about: the newest rounds stay, more of them while they are small. */
export function forgetFinalStates(dataDir: string, round: number): void {
  const folder = folderOf(dataDir);
  if (!existsSync(folder)) return;
  const rounds = readdirSync(folder).filter((name) => /^\d{1,15}$/.test(name));
  let bytes = 0;
  for (const name of rounds.sort((a, b) => Number(b) - Number(a))) {
    const inside = join(folder, name);
    for (const file of readdirSync(inside)) bytes += statSync(join(inside, file)).size;
    const age = round - Number(name);
    if (age < FINAL_ROUNDS_KEPT || (age < FINAL_ROUNDS_KEPT_SMALL && bytes <= FINAL_STATE_BYTES)) continue;
    rmSync(inside, { recursive: true, force: true });
  }
}
