// Owns opening what an authority must not forget, sign state and log together, and what follows from damage to the log: a
// height of which something is missing is followed, not voted in, also after further crashes.

import { join } from 'node:path';
import { type Result, success } from '../base/fault.ts';
import type { SigningDomain } from '../consensus/sign-bytes.ts';
import { type ConsensusLog, type LogEntry, openConsensusLog } from './consensus-log.ts';
import type { ConsensusOptions } from './consensus-options.ts';
import { type ConsensusSigner, openConsensusSigner } from './consensus-signer.ts';

export type ConsensusMemory = Readonly<{
  signer: ConsensusSigner;
  /** Entries of the height that was in progress when the node stopped. */
  replay: readonly LogEntry[];
  height(): number;
  /** Starts the log of a height. */
  begin(height: number): void;
  append(entry: LogEntry): void;
  sync(): void;
  /** The log does not lead to the last signature of its height: its end was lost, so the height is followed only. */
  holdShort(): void;
  close(): void;
}>;

/** Opens both. Faults: those of the sign state and of the log. */
export function openConsensusMemory(
  options: ConsensusOptions,
  domain: SigningDomain,
  maxLogBytes?: number,
): Result<ConsensusMemory> {
  const { directory, clock, blocks, key, log: say, mayCreateSignState, maySign } = options;
  const head = blocks.head();
  const opened = openConsensusSigner({
    key,
    domain,
    directory,
    mayCreate: head.height === 0 || mayCreateSignState === true,
    maySign: maySign ?? (() => true),
    clock,
    log: say,
  });
  if (!opened.ok) return opened;
  const signer = opened.value;
  const found = openConsensusLog(join(directory, 'consensus.wal'), undefined, maxLogBytes);
  if (!found.ok) {
    signer.close();
    return found;
  }
  const log: ConsensusLog = found.value.log;
  /** First height whose inputs are all known or still to come. */
  let knownFrom = 0;

  function holdBackTo(height: number): void {
    knownFrom = height;
    signer.holdBack(height, Number.POSITIVE_INFINITY);
  }

  if (found.value.isDamaged) {
    // Locks of that height may be lost.
    holdBackTo(Math.max(log.height(), head.height + 1) + 1);
    say.warn('consensus-log-damaged', { votesFrom: knownFrom });
  }
  return success({
    signer,
    replay: found.value.entries,
    height: log.height,
    begin(height) {
      log.reset(height);
      if (height < knownFrom) log.spoil();
    },
    append(entry) {
      if (log.append(entry) || log.height() < knownFrom) return;
      // What is not logged would be forgotten by a crash: the height goes on without this key's votes.
      holdBackTo(log.height() + 1);
      say.warn('consensus-log-full', { votesFrom: knownFrom });
    },
    sync: log.sync,
    holdShort() {
      holdBackTo(log.height() + 1);
      log.spoil();
      say.warn('consensus-log-short', { votesFrom: knownFrom });
    },
    close() {
      signer.close();
      log.close();
    },
  });
}
