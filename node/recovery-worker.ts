// Owns the recovery of senders in a thread: a list of transactions comes in, the hash and sender of each sound one goes back.

import { parentPort } from 'node:worker_threads';
import { concat, fromHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { decodeTransaction } from '../chain/transaction.ts';
import type { RecoveryAnswer, RecoveryTask } from './sender-recovery.ts';
import { decodeBatch } from './transaction-batch.ts';

const port = present(parentPort, 'parent port');

port.on('message', ({ id, batch }: RecoveryTask) => {
  const pairs: Uint8Array[] = [];
  for (const raw of decodeBatch(batch) ?? []) {
    const decoded = decodeTransaction(raw);
    if (decoded.ok) pairs.push(fromHex(decoded.value.hash), fromHex(decoded.value.from));
  }
  port.postMessage({ id, pairs: concat(...pairs) } satisfies RecoveryAnswer);
});
