// Owns the methods around logs: queries, polled filters and WebSocket subscriptions.

import { FaultError, fault } from '../../base/fault.ts';
import { invalidParams } from '../errors.ts';
import { logJson } from '../format.ts';
import { logFilter, logQuery } from '../log-query.ts';
import { argument, required } from '../params.ts';
import type { MethodTable, Session } from './method.ts';

const ID_CHARACTERS = 66;

function identifier(value: unknown): string {
  if (typeof value !== 'string' || value.length > ID_CHARACTERS)
    throw invalidParams('invalid argument 0: expected an id');
  return value;
}

function needSession(session: Session | null): Session {
  if (session !== null) return session;
  throw new FaultError(fault('methodNotFound', 'notifications not supported over HTTP; connect by WebSocket'));
}

export const logMethods: MethodTable = {
  eth_getLogs: {
    params: '{fromBlock?, toBlock?, blockHash?, address?, topics?}',
    summary: 'Logs of a range of blocks or of one block.',
    cost: 10,
    async run({ chain, limits }, params) {
      const found = await chain.logs(await logFilter(chain, required(params, 0), argument(0), limits));
      if (!found.ok) throw invalidParams(found.message, found.fields);
      return found.value.map(logJson);
    },
  },
  eth_newFilter: {
    params: '{fromBlock?, toBlock?, address?, topics?}',
    summary: 'Starts a log filter to poll; it dies after five minutes without a poll.',
    cost: 5,
    run: ({ filters, limits }, params) => filters.addLogs(logQuery(required(params, 0), argument(0), limits)),
  },
  eth_newBlockFilter: {
    params: '',
    summary: 'Starts a filter that gives the hashes of new blocks.',
    cost: 5,
    run: ({ filters }) => filters.addBlocks(),
  },
  eth_newPendingTransactionFilter: {
    params: '',
    summary: 'Starts a filter that gives the hashes of transactions entering the pool.',
    cost: 5,
    run: ({ filters }) => filters.addPending(),
  },
  eth_getFilterChanges: {
    params: 'filterId',
    summary: 'What a filter found since the last poll.',
    cost: 5,
    run: ({ filters }, params) => filters.changes(identifier(required(params, 0))),
  },
  eth_getFilterLogs: {
    params: 'filterId',
    summary: 'All logs a log filter matches.',
    cost: 10,
    run: ({ filters }, params) => filters.logs(identifier(required(params, 0))),
  },
  eth_uninstallFilter: {
    params: 'filterId',
    summary: 'Drops a filter; false when there was none.',
    run: ({ filters }, params) => filters.remove(identifier(required(params, 0))),
  },
  eth_subscribe: {
    params: 'kind, options?',
    summary: 'WebSocket only: newHeads, logs or newPendingTransactions as eth_subscription notifications.',
    cost: 5,
    run: (_context, params, session) => needSession(session).subscribe(required(params, 0), params[1]),
  },
  eth_unsubscribe: {
    params: 'subscriptionId',
    summary: 'WebSocket only: ends a subscription; false when there was none.',
    run: (_context, params, session) => needSession(session).unsubscribe(identifier(required(params, 0))),
  },
};
