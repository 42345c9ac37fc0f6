// Owns the methods that read blocks and their counts.

import type { BlockRecord } from '../../chain/api.ts';
import { blockId, findBlock, findNumber } from '../block-id.ts';
import { blockJson, headerJson, pendingJson, quantityOf, receiptJson } from '../format.ts';
import { absent, argument, flag, hash, required, small } from '../params.ts';
import type { MethodContext, MethodTable } from './method.ts';

/** The block an argument names, or null: a hash for the ByHash methods, a tag or number otherwise. */
function byHash({ chain }: MethodContext, params: readonly unknown[]): Promise<BlockRecord | null> {
  return chain.blockByHash(hash(required(params, 0), argument(0)));
}

function byNumber({ chain }: MethodContext, params: readonly unknown[]): Promise<BlockRecord | null> {
  return findBlock(chain, blockId(required(params, 0), argument(0)));
}

function transactionCount(block: BlockRecord | null): string | null {
  return block === null ? null : quantityOf(block.transactions.length);
}

/** What the next block would hold now: hash, nonce, bloom and roots are not known, hence null. */
function pendingBlock({ chain, ports }: MethodContext, full: boolean): Readonly<Record<string, unknown>> {
  const head = chain.head();
  const baseFee = chain.nextBaseFee();
  const transactions = chain.pool.select({ baseFee, gasLimit: head.header.gasLimit });
  return {
    ...headerJson(head.header, head.hash),
    number: quantityOf(head.header.number + 1),
    hash: null,
    nonce: null,
    miner: null,
    logsBloom: null,
    stateRoot: null,
    receiptsRoot: null,
    parentHash: head.hash,
    baseFeePerGas: quantityOf(baseFee),
    gasUsed: '0x0',
    timestamp: quantityOf(Math.max(head.header.timestamp + 1, Math.floor(ports.clock.nowMs() / 1_000))),
    size: null,
    uncles: [],
    withdrawals: [],
    transactions: transactions.map((transaction) => (full ? pendingJson(transaction) : transaction.hash)),
  };
}

export const blockMethods: MethodTable = {
  eth_blockNumber: {
    params: '',
    summary: 'Height of the newest finalised block.',
    run: ({ chain }) => quantityOf(chain.head().header.number),
  },
  eth_getBlockByNumber: {
    params: 'block, full?',
    summary: 'Block by tag or number, with whole transactions when full; null when unknown.',
    async run(context, params) {
      const id = blockId(required(params, 0), argument(0));
      const full = flag(params[1], argument(1));
      if (id.kind === 'head' && id.pending) return pendingBlock(context, full);
      const block = await findBlock(context.chain, id);
      return block === null ? null : blockJson(block, full);
    },
  },
  eth_getBlockByHash: {
    params: 'hash, full?',
    summary: 'Block by hash, with whole transactions when full; null when unknown.',
    async run(context, params) {
      const full = flag(params[1], argument(1));
      const block = await byHash(context, params);
      return block === null ? null : blockJson(block, full);
    },
  },
  eth_getHeaderByNumber: {
    params: 'block',
    summary: 'Header by tag or number; null when unknown.',
    async run(context, params) {
      const block = await byNumber(context, params);
      return block === null ? null : headerJson(block.header, block.hash);
    },
  },
  eth_getHeaderByHash: {
    params: 'hash',
    summary: 'Header by block hash; null when unknown.',
    async run(context, params) {
      const block = await byHash(context, params);
      return block === null ? null : headerJson(block.header, block.hash);
    },
  },
  eth_getBlockTransactionCountByNumber: {
    params: 'block',
    summary: 'Number of transactions of a block; null when unknown.',
    run: async (context, params) => transactionCount(await byNumber(context, params)),
  },
  eth_getBlockTransactionCountByHash: {
    params: 'hash',
    summary: 'Number of transactions of a block; null when unknown.',
    run: async (context, params) => transactionCount(await byHash(context, params)),
  },
  eth_getBlockReceipts: {
    params: 'block',
    summary: 'Receipts of all transactions of a block, by number, tag or hash; null when unknown.',
    cost: 5,
    async run({ chain }, params) {
      const number = await findNumber(chain, blockId(required(params, 0), argument(0)));
      const receipts = number === null ? null : await chain.receipts(number);
      return receipts === null ? null : receipts.map(receiptJson);
    },
  },
  eth_getUncleCountByBlockNumber: {
    params: 'block',
    summary: 'Always 0x0 for a known block: there are no uncles.',
    run: async (context, params) => ((await byNumber(context, params)) === null ? null : '0x0'),
  },
  eth_getUncleCountByBlockHash: {
    params: 'hash',
    summary: 'Always 0x0 for a known block: there are no uncles.',
    run: async (context, params) => ((await byHash(context, params)) === null ? null : '0x0'),
  },
  eth_getUncleByBlockNumberAndIndex: {
    params: 'block, index',
    summary: 'Always null: there are no uncles.',
    run(_context, params) {
      blockId(required(params, 0), argument(0));
      small(required(params, 1), argument(1));
      return null;
    },
  },
  eth_getUncleByBlockHashAndIndex: {
    params: 'hash, index',
    summary: 'Always null: there are no uncles.',
    run(_context, params) {
      hash(required(params, 0), argument(0));
      small(required(params, 1), argument(1));
      return null;
    },
  },
  erigon_getHeaderByNumber: {
    params: 'block',
    summary: 'Header by number, as explorers probe for it.',
    async run({ chain }, params) {
      const block = absent(params[0]) ? chain.head() : await findBlock(chain, blockId(params[0], argument(0)));
      return block === null ? null : headerJson(block.header, block.hash);
    },
  },
};
