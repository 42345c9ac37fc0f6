// Owns the file of peers this node reached, so that after a restart it depends on nobody's word, nor on boot nodes alone.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseAddress } from '../net/addresses.ts';
import type { PeerNode } from '../net/api.ts';
import { writeFileDurably } from './files.ts';
import { KNOWN_PEERS_BYTES, SAVE_PEERS_MS } from './limits.ts';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import { timerSet } from './timer-set.ts';

const fileOf = (dataDir: string): string => join(dataDir, 'peers.json');

/** Addresses an earlier run saved. A file that is missing or damaged is no reason not to start: it is only a memory. */
export function readKnownPeers(dataDir: string, log: Logger): readonly string[] {
  const path = fileOf(dataDir);
  try {
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined) return [];
    if (size > KNOWN_PEERS_BYTES) throw new Error(`larger than ${KNOWN_PEERS_BYTES} bytes`);
    const list: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (!Array.isArray(list)) throw new Error('not a list');
    return list.filter((text): text is string => typeof text === 'string' && parseAddress(text).ok);
  } catch (error) {
    log.warn('saved peers left out', { file: 'peers.json', reason: String(error).slice(0, 200) });
    return [];
  }
}

/** Saves the peers from time to time and at the end; the returned function is the end. */
export function keepKnownPeers(dataDir: string, peerNode: PeerNode, clock: Clock, log: Logger): () => Promise<void> {
  let saved = '';
  const save = (): void => {
    const text = `${JSON.stringify(peerNode.knownAddresses(), null, 2)}\n`;
    if (text === saved || text.length > KNOWN_PEERS_BYTES || peerNode.knownAddresses().length === 0) return;
    try {
      writeFileDurably(fileOf(dataDir), text);
      saved = text;
    } catch (error) {
      log.warn('peers not saved', { reason: String(error).slice(0, 200) });
    }
  };
  const timers = timerSet(clock);
  timers.every(SAVE_PEERS_MS, save);
  return async () => {
    timers.cancelAll();
    save();
  };
}
