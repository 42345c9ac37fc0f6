// Owns reading the system contracts' events out of committed blocks: those of transactions and those of the protocol's own calls.

import { type Result, success } from '../base/fault.ts';
import { toHex } from '../base/bytes.ts';
import type { Chain, HeadEvent, RawLog } from '../chain/api.ts';
import { LEARNING_ROUNDS_ADDRESS } from '../chain/system/api.ts';
import { type SystemEvent, decodeSystemLog } from '../chain/system/events.ts';

function decode(logs: readonly RawLog[]): SystemEvent[] {
  return logs.flatMap((log) => {
    const event = decodeSystemLog({ address: log.address, topics: log.topics, data: toHex(log.data) });
    return event === null ? [] : [event];
  });
}

/** Events of one block, in order: the protocol's calls come first. */
export function systemEvents(event: Pick<HeadEvent, 'receipts' | 'systemLogs'>): SystemEvent[] {
  return [...decode(event.systemLogs), ...event.receipts.flatMap(({ logs }) => decode(logs))];
}

/** Events of the learning rounds' transactions in blocks `from` to `to`. */
export async function roundEvents(chain: Chain, from: number, to: number): Promise<Result<SystemEvent[]>> {
  const logs = await chain.logs({ fromBlock: from, toBlock: to, addresses: [LEARNING_ROUNDS_ADDRESS], topics: [] });
  return logs.ok ? success(decode(logs.value)) : logs;
}
