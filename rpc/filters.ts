// Owns polled filters (eth_newFilter and its kin): what each one asks for and how far its owner has read.
// Pushed subscriptions are web-socket.ts.

import { toHex } from '../base/bytes.ts';
import { FaultError, fault, unwrap } from '../base/fault.ts';
import type { Chain, Hash, LogFilter } from '../chain/api.ts';
import { logJson } from './format.ts';
import type { RpcLimits } from './limits.ts';
import type { LogQuery } from './log-query.ts';
import type { Clock, Entropy } from './ports.ts';

type Filter = { touchedMs: number } & (
  | { kind: 'blocks'; seen: number }
  | { kind: 'pending'; hashes: Hash[] }
  | { kind: 'logs'; query: LogQuery; seen: number }
);

export type FilterStore = Readonly<{
  addBlocks(): string;
  addPending(): string;
  addLogs(query: LogQuery): string;
  remove(id: string): boolean;
  /** What came since the last poll. */
  changes(id: string): Promise<readonly unknown[]>;
  /** All logs a log filter matches. */
  logs(id: string): Promise<readonly unknown[]>;
  close(): void;
}>;

export function filterStore(chain: Chain, clock: Clock, entropy: Entropy, limits: RpcLimits): FilterStore {
  const filters = new Map<string, Filter>();
  const stopListening = chain.pool.onAdded((transaction) => {
    for (const filter of filters.values()) {
      if (filter.kind !== 'pending') continue;
      filter.hashes.push(transaction.hash);
      if (filter.hashes.length > limits.filterItems) filter.hashes.shift();
    }
  });
  function sweep(): void {
    const nowMs = clock.monotonicMs();
    for (const [id, filter] of filters) if (nowMs - filter.touchedMs > limits.filterMs) filters.delete(id);
  }
  function add(filter: Filter): string {
    sweep();
    if (filters.size >= limits.filters) {
      throw new FaultError(fault('rateLimited', `this node holds ${limits.filters} filters already; remove one`));
    }
    const id = toHex(entropy(16)).replace(/^0x0+(?=.)/, '0x');
    filters.set(id, filter);
    return id;
  }
  function find(id: string): Filter {
    sweep();
    const filter = filters.get(id);
    if (filter === undefined) throw new FaultError(fault('filterNotFound', 'filter not found'));
    filter.touchedMs = clock.monotonicMs();
    return filter;
  }
  const head = (): number => chain.head().header.number;
  const touchedMs = (): number => clock.monotonicMs();
  return {
    addBlocks: () => add({ kind: 'blocks', seen: head(), touchedMs: touchedMs() }),
    addPending: () => add({ kind: 'pending', hashes: [], touchedMs: touchedMs() }),
    addLogs: (query) => add({ kind: 'logs', query, seen: head(), touchedMs: touchedMs() }),
    remove: (id) => filters.delete(id),
    async changes(id) {
      const filter = find(id);
      if (filter.kind === 'pending') return filter.hashes.splice(0);
      const from = filter.seen + 1;
      const to = head();
      if (filter.kind === 'blocks') {
        filter.seen = Math.max(filter.seen, to);
        return hashesOf(chain, Math.max(from, to - limits.filterItems + 1), to);
      }
      const { filter: wanted, untilBlock } = filter.query;
      const { logs, last } = await withinLimits(chain, wanted, from, Math.min(to, untilBlock));
      // Two polls at once may give the same logs, but none is passed over.
      filter.seen = Math.max(filter.seen, last);
      return logs;
    },
    async logs(id) {
      const filter = find(id);
      if (filter.kind !== 'logs') throw new FaultError(fault('filterNotFound', 'filter not found'));
      const { filter: wanted, fromBlock, untilBlock } = filter.query;
      return matching(chain, { ...wanted, fromBlock: fromBlock ?? head(), toBlock: Math.min(untilBlock, head()) });
    },
    close() {
      stopListening();
      filters.clear();
    },
  };
}

async function hashesOf(chain: Chain, from: number, to: number): Promise<readonly Hash[]> {
  const hashes: Hash[] = [];
  for (let number = from; number <= to; number++) {
    const block = await chain.blockByNumber(number);
    if (block !== null) hashes.push(block.hash);
  }
  return hashes;
}

/** Logs from `from` on, up to the last block with which they are within the limits of one query. */
async function withinLimits(
  chain: Chain,
  wanted: LogQuery['filter'],
  from: number,
  to: number,
): Promise<Readonly<{ logs: readonly unknown[]; last: number }>> {
  if (from > to) return { logs: [], last: from - 1 };
  for (let last = Math.min(to, from + chain.limits.logsRange - 1); ; last = Math.floor((from + last) / 2)) {
    const found = await chain.logs({ ...wanted, fromBlock: from, toBlock: last });
    if (found.ok) return { logs: found.value.map(logJson), last };
    if (last === from) throw new FaultError(found);
  }
}

async function matching(chain: Chain, filter: LogFilter): Promise<readonly unknown[]> {
  if (filter.fromBlock > filter.toBlock) return [];
  return unwrap(await chain.logs(filter)).map(logJson);
}
