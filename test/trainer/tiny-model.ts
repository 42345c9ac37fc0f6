// Owns the small model, batches and comparisons that the model tests share.

import { prng } from '../../base/prng.ts';
import { sha256 } from '../../base/hash.ts';
import { utf8 } from '../../base/bytes.ts';
import type { LoadedProgram } from '../../engine/executor.ts';
import type { BatchShape, ModelConfig } from '../../trainer/model.ts';
import type { Batch } from './float-oracle.ts';

export const TINY: ModelConfig = {
  vocab: 96,
  dim: 32,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  ffn: 80,
  context: 24,
  ropeTheta: 10_000,
};
export const SHAPE: BatchShape = { batch: 3, seq: 16 };

export const seedOf = (text: string): Uint8Array => sha256(utf8(text));

const TEXT = `Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and
nothing particular to interest me on shore, I thought I would sail about a little and see the watery part of the world.`;

/** Sequences of printable characters from one short text, cut at places fixed by `name`. */
export function textBatch(name: string, { batch, seq }: BatchShape): Batch {
  const random = prng(name);
  const ids = [...TEXT.replaceAll('\n', ' ')].map((character) => character.charCodeAt(0) - 32);
  const tokens: number[] = [];
  const targets: number[] = [];
  for (let row = 0; row < batch; row++) {
    const start = random.below(ids.length - seq - 1);
    tokens.push(...ids.slice(start, start + seq));
    targets.push(...ids.slice(start + 1, start + seq + 1));
  }
  return { tokens, targets };
}

export function feed(loaded: LoadedProgram, batch: Batch): void {
  loaded.view('tokens').set(batch.tokens);
  loaded.view('targets').set(batch.targets);
}

/** Length of the difference over the length of the reference, and the cosine between the two. */
export function distance(ours: ArrayLike<number>, reference: ArrayLike<number>): { error: number; cosine: number } {
  let [difference, a, b, dot] = [0, 0, 0, 0];
  for (let i = 0; i < reference.length; i++) {
    const [x, y] = [ours[i] as number, reference[i] as number];
    difference += (x - y) * (x - y);
    a += x * x;
    b += y * y;
    dot += x * y;
  }
  return { error: Math.sqrt(difference / b), cosine: dot / Math.sqrt(a * b) };
}
