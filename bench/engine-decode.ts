// Owns the decoding speed of one sequence, ours and llama.cpp's on the same weights.

import type { Executor } from '../engine/executor.ts';

export async function decodeFigures(
  engines: ReadonlyMap<string, Executor>,
  best: string,
  alone: boolean,
): Promise<Readonly<Record<string, number | string | null>>> {
  return { decodeVsLlamaCpp: null, decodeWhy: `not measured: ${engines.size} ${best} ${alone}` };
}
