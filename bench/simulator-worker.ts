// Owns one thread of a simulator campaign: runs its share of the seeds and answers with what it found.

import { parentPort, workerData } from 'node:worker_threads';
import { type Campaign, runCampaign } from '../test/simulator/campaigns.ts';

const { campaign, first, count } = workerData as { campaign: Campaign; first: number; count: number };
const before = process.cpuUsage();
const result = runCampaign(campaign, first, count);
const used = process.cpuUsage(before);
parentPort?.postMessage({ result, cpuMs: (used.user + used.system) / 1_000 });
