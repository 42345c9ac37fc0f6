// Owns an authority's hidden verdicts between commit and reveal: entries on disk, so that a restart can still open them, and the
// nonce, which follows from the key.

import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Hex, isHex, toHex, u64be } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';
import { writeFileDurably } from './files.ts';
import { ROUNDS_NOTED, VERDICT_FILE_BYTES } from './limits.ts';

export type VerdictFile = Readonly<{
  /** Encoded entries of a round as saved, or null. */
  load(round: number): Hex | null;
  save(round: number, entries: Hex): void;
  nonce(round: number): Hex;
}>;

export function openVerdictFile(directory: string, chainId: number, secretKey: Uint8Array): VerdictFile {
  const pathOf = (round: number): string => join(directory, `${round}.hex`);
  return {
    load(round) {
      if (!existsSync(pathOf(round))) return null;
      const text = readFileSync(pathOf(round), 'utf8').trim();
      return text.length <= VERDICT_FILE_BYTES && isHex(text) ? text : null;
    },
    save(round, entries) {
      writeFileDurably(pathOf(round), `${entries}\n`);
      for (const name of readdirSync(directory)) {
        const old = Number(/^(\d{1,15})\.hex$/.exec(name)?.[1] ?? Number.NaN);
        if (old <= round - ROUNDS_NOTED) rmSync(join(directory, name), { force: true });
      }
    },
    // Nobody else can make it, and the same key makes it again.
    nonce: (round) => toHex(taggedHash('verdict-nonce', secretKey, u64be(chainId), u64be(round))),
  };
}
