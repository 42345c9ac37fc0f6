// Owns the threads the simulator runs on: each takes the next piece of seeds as soon as it is done with one, and stays warm.

import { Worker } from 'node:worker_threads';
import type { Campaign, CampaignResult } from '../test/simulator/campaigns.ts';

/** Seeds `first` to `first + count - 1` of one kind of world. */
export type Piece = Readonly<{ campaign: Campaign; first: number; count: number }>;

function ask(worker: Worker, piece: Piece): Promise<CampaignResult> {
  return new Promise((done, fail) => {
    worker.once('error', fail);
    worker.once('message', (result: CampaignResult) => {
      worker.off('error', fail);
      done(result);
    });
    worker.postMessage(piece);
  });
}

/** Runs all pieces, in their order, and tells of each when it is done. */
export async function runPieces(
  pieces: readonly Piece[],
  threads: number,
  done: (piece: Piece, result: CampaignResult) => void,
): Promise<void> {
  const waiting = pieces.values();
  const workers = Array.from({ length: threads }, () => new Worker(new URL('./simulator-worker.js', import.meta.url)));
  try {
    await Promise.all(
      workers.map(async (worker) => {
        for (const piece of waiting) done(piece, await ask(worker, piece));
      }),
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** What the user is told of a world that broke an invariant. */
export function failureLine(campaign: Campaign, seed: number, violation: string): string {
  return `${campaign} seed ${seed}: ${violation}; npm run bench -- simulator replay ${campaign} ${seed}`;
}
