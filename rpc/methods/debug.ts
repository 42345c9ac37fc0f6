// Owns debug_: raw encodings and traces of committed transactions and of calls. Reading only; nothing here changes state.

import { fromHex, toHex } from '../../base/bytes.ts';
import { FaultError, fault, unwrap } from '../../base/fault.ts';
import type { BlockRecord, Hash } from '../../chain/api.ts';
import { executionBlockRlp } from '../../chain/block-codec.ts';
import { headerItems } from '../../chain/header.ts';
import { receiptRlp } from '../../chain/receipt.ts';
import { encodeRlp } from '../../chain/rlp.ts';
import { blockId, findBlock, resolveNumber } from '../block-id.ts';
import { callOverrides, callRequest } from '../call-request.ts';
import { refused } from '../errors.ts';
import { absent, argument, hash, object, required } from '../params.ts';
import { type Tracer, tracer } from '../tracer.ts';
import type { MethodContext, MethodTable } from './method.ts';

async function rawBlock({ chain }: MethodContext, params: readonly unknown[]): Promise<BlockRecord> {
  const block = await findBlock(chain, blockId(required(params, 0), argument(0)));
  if (block === null) throw refused('block not found');
  return block;
}

/** Tracer of an options argument, whose `stateOverrides` and `blockOverrides` only calls use. */
function tracerAt(context: MethodContext, value: unknown, index: number): Tracer {
  return tracer(absent(value) ? {} : object(value, argument(index)), argument(index), context.limits);
}

async function traceOne(context: MethodContext, wanted: Hash, options: unknown): Promise<unknown> {
  const tracing = tracerAt(context, options, 1);
  const outcome = await context.chain.traceTransaction(wanted, tracing.listener);
  if (!outcome.ok) throw new FaultError(fault(outcome.code, outcome.message));
  return tracing.result(outcome.value);
}

async function traceBlock(context: MethodContext, block: BlockRecord | null, name: string, options: unknown) {
  if (block === null) throw refused(`block ${name} not found`);
  if (block.header.number === 0) throw refused('genesis is not traceable');
  if (block.transactions.length > context.limits.traceBlockTransactions) {
    throw refused(
      `block has ${block.transactions.length} transactions, at most ${context.limits.traceBlockTransactions} are traced`,
    );
  }
  const results: unknown[] = [];
  for (const transaction of block.transactions) {
    results.push({ txHash: transaction.hash, result: await traceOne(context, transaction.hash, options) });
  }
  return results;
}

export const debugMethods: MethodTable = {
  debug_getRawHeader: {
    params: 'block',
    summary: 'RLP of a header; its Keccak-256 is the block hash.',
    run: async (context, params) => toHex(encodeRlp(headerItems((await rawBlock(context, params)).header))),
  },
  debug_getRawBlock: {
    params: 'block',
    summary: 'RLP of a block as other Ethereum tools encode it: header, transactions, no uncles, withdrawals.',
    cost: 5,
    run: async (context, params) => toHex(executionBlockRlp(await rawBlock(context, params))),
  },
  debug_getRawReceipts: {
    params: 'block',
    summary: 'Consensus encodings (EIP-2718) of the receipts of a block.',
    cost: 5,
    async run(context, params) {
      const block = await rawBlock(context, params);
      const receipts = (await context.chain.receipts(block.header.number)) ?? [];
      return receipts.map(({ type, status, stateRoot, cumulativeGasUsed, logsBloom, logs }) =>
        toHex(receiptRlp(type, stateRoot ?? status, cumulativeGasUsed, fromHex(logsBloom), logs)),
      );
    },
  },
  debug_getRawTransaction: {
    params: 'hash',
    summary: 'Bytes of a transaction as signed.',
    async run({ chain }, params) {
      const wanted = hash(required(params, 0), argument(0));
      const record = await chain.transaction(wanted);
      const transaction = record?.transaction ?? chain.pool.get(wanted);
      return transaction == null ? '0x' : toHex(transaction.raw);
    },
  },
  debug_traceTransaction: {
    params: 'hash, {tracer?, tracerConfig?, disableStack?, enableMemory?}?',
    summary:
      'Opcodes of a committed transaction, its call tree (tracer "callTracer") or the state it touched ("prestateTracer").',
    cost: 50,
    run: (context, params) => traceOne(context, hash(required(params, 0), argument(0)), params[1]),
  },
  debug_traceBlockByNumber: {
    params: 'block, options?',
    summary: 'Traces of all transactions of a block.',
    cost: 100,
    async run(context, params) {
      const id = blockId(required(params, 0), argument(0));
      return traceBlock(context, await findBlock(context.chain, id), String(params[0]).slice(0, 80), params[1]);
    },
  },
  debug_traceBlockByHash: {
    params: 'hash, options?',
    summary: 'Traces of all transactions of a block.',
    cost: 100,
    async run(context, params) {
      const wanted = hash(required(params, 0), argument(0));
      return traceBlock(context, await context.chain.blockByHash(wanted), wanted, params[1]);
    },
  },
  debug_traceCall: {
    params: 'transaction, block?, options?',
    summary: "Trace of a message on a block's state.",
    cost: 50,
    async run(context, params) {
      const { chain, limits } = context;
      const request = callRequest(required(params, 0), argument(0), chain.chainId, limits);
      const number = await resolveNumber(chain, blockId(params[1], argument(1)));
      const options = absent(params[2]) ? {} : object(params[2], argument(2));
      const overrides = callOverrides(options.stateOverrides, options.blockOverrides, 2, limits);
      const tracing = tracerAt(context, params[2], 2);
      return tracing.result(unwrap(await chain.call(request, number, overrides, tracing.listener)));
    },
  },
};
