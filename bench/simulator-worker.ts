// Owns one thread of a simulator campaign: runs its share of the seeds and answers with what it found.

import { parentPort, workerData } from 'node:worker_threads';
import { type Campaign, runCampaign } from '../test/simulator/campaigns.ts';

const { campaign, first, count } = workerData as { campaign: Campaign; first: number; count: number };
parentPort?.postMessage(runCampaign(campaign, first, count));
