// Owns txpool_: what waits in the pool, by sender and nonce.

import type { Address, PoolContent, Transaction } from '../../chain/api.ts';
import { pendingJson, quantityOf } from '../format.ts';
import { address, argument, required } from '../params.ts';
import type { MethodTable } from './method.ts';

type Shown = Readonly<Record<string, unknown>>;

function byNonce(transactions: readonly Transaction[], show: (transaction: Transaction) => unknown): Shown {
  return Object.fromEntries(transactions.map((transaction) => [String(transaction.nonce), show(transaction)]));
}

function bySender(content: PoolContent, show: (transaction: Transaction) => unknown): Shown {
  return Object.fromEntries([...content].map(([sender, transactions]) => [sender, byNonce(transactions, show)]));
}

function ofSender(content: PoolContent, sender: Address): Shown {
  return byNonce(content.get(sender) ?? [], pendingJson);
}

/** geth's one-line form: receiver, value, gas and price. */
function line(transaction: Transaction): string {
  const price = transaction.maxFeePerGas ?? transaction.gasPrice ?? 0n;
  const to = transaction.to ?? 'contract creation';
  return `${to}: ${transaction.value} wei + ${transaction.gas} gas × ${price} wei`;
}

export const txpoolMethods: MethodTable = {
  txpool_status: {
    params: '',
    summary: 'Counts of executable and of waiting transactions.',
    run({ chain }) {
      const { pending, queued } = chain.pool.status();
      return { pending: quantityOf(pending), queued: quantityOf(queued) };
    },
  },
  txpool_content: {
    params: '',
    summary: 'All transactions of the pool, by sender and nonce.',
    cost: 20,
    run({ chain }) {
      const { pending, queued } = chain.pool.content();
      return { pending: bySender(pending, pendingJson), queued: bySender(queued, pendingJson) };
    },
  },
  txpool_contentFrom: {
    params: 'address',
    summary: "One sender's transactions of the pool, by nonce.",
    cost: 5,
    run({ chain }, params) {
      const sender = address(required(params, 0), argument(0));
      const { pending, queued } = chain.pool.content();
      return { pending: ofSender(pending, sender), queued: ofSender(queued, sender) };
    },
  },
  txpool_inspect: {
    params: '',
    summary: 'All transactions of the pool as one line each.',
    cost: 20,
    run({ chain }) {
      const { pending, queued } = chain.pool.content();
      return { pending: bySender(pending, line), queued: bySender(queued, line) };
    },
  },
};
