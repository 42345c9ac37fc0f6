// Owns one thread of the simulator: runs each piece of seeds it is sent and answers with what it found.

import { parentPort } from 'node:worker_threads';
import { runCampaign } from '../test/simulator/campaigns.ts';
import type { Piece } from './simulator-pool.ts';

parentPort?.on('message', ({ campaign, first, count }: Piece) => {
  parentPort?.postMessage(runCampaign(campaign, first, count));
});
