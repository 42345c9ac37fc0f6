// Owns eth_getLogs over committed blocks: bounded ranges, skipped by bloom, matched by address and topics.

import { type Result, fault, success } from '../base/fault.ts';
import type { Log, LogFilter, RawLog } from './api.ts';
import type { ChainLimits } from './limits.ts';
import type { Ledger } from './ledger.ts';
import { bloomMayHold } from './receipt.ts';

/** Blocks looked at before other work gets a turn. */
const TURN = 256;

function logMatches(log: RawLog, filter: Pick<LogFilter, 'addresses' | 'topics'>): boolean {
  if (filter.addresses.length > 0 && !filter.addresses.includes(log.address)) return false;
  return filter.topics.every((wanted, i) => {
    const topic = log.topics[i];
    return topic === undefined ? false : wanted === null || wanted.length === 0 || wanted.includes(topic);
  });
}

function bloomMayMatch(bloom: `0x${string}`, filter: LogFilter): boolean {
  const any = (entries: readonly `0x${string}`[]) =>
    entries.length === 0 || entries.some((entry) => bloomMayHold(bloom, entry));
  return any(filter.addresses) && filter.topics.every((wanted) => wanted === null || any(wanted));
}

export async function queryLogs(
  ledger: Pick<Ledger, 'header' | 'receipts'>,
  head: number,
  filter: LogFilter,
  limits: Pick<ChainLimits, 'logsRange' | 'logsResults' | 'logsCriteria'>,
): Promise<Result<readonly Log[]>> {
  const { fromBlock, toBlock } = filter;
  if (fromBlock > toBlock) return fault('badRange', 'invalid block range params: fromBlock is after toBlock');
  if (toBlock - fromBlock >= limits.logsRange) {
    const usable = fromBlock + limits.logsRange - 1;
    return fault(
      'rangeTooLarge',
      `block range exceeds ${limits.logsRange}; retry with the range ${fromBlock} to ${usable}`,
      {
        limit: limits.logsRange,
        fromBlock,
        toBlock: usable,
      },
    );
  }
  if (filter.topics.length > 4) return fault('tooManyTopics', 'exceed max topics: 4 positions');
  const criteria = [filter.addresses, ...filter.topics].map((list) => list?.length ?? 0);
  if (Math.max(...criteria) > limits.logsCriteria) {
    return fault('tooManyCriteria', `exceed max addresses or topics per search position: ${limits.logsCriteria}`);
  }
  const found: Log[] = [];
  for (let number = fromBlock; number <= Math.min(toBlock, head); number++) {
    if (number % TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    const header = ledger.header(number);
    if (header === null || header.gasUsed === 0n || !bloomMayMatch(header.logsBloom, filter)) continue;
    for (const receipt of ledger.receipts(number) ?? []) {
      for (const log of receipt.logs) if (logMatches(log, filter)) found.push(log);
    }
    if (found.length > limits.logsResults) {
      const usable = Math.max(fromBlock, number - 1);
      return fault(
        'tooManyResults',
        `query returned more than ${limits.logsResults} results; retry with the range ${fromBlock} to ${usable}`,
        {
          limit: limits.logsResults,
          fromBlock,
          toBlock: usable,
        },
      );
    }
  }
  return success(found);
}
