// Owns the body of a helper thread of root-hasher.ts: it takes blocks of each job it is sent.

import { parentPort } from 'node:worker_threads';
import { type HashJob, hashBlocks } from './root-hasher.ts';

parentPort?.on('message', (job: HashJob) => hashBlocks(job));
