// Owns the methods that read, send and fill transactions. Signing happens only where node/ passed a wallet in.

import { fromHex, isHex, toHex } from '../../base/bytes.ts';
import { FaultError, fault, unwrap } from '../../base/fault.ts';
import type { BlockRecord, CallRequest, Hash } from '../../chain/api.ts';
import { blockId, findBlock } from '../block-id.ts';
import { callRequest, inputOf } from '../call-request.ts';
import { invalidParams, refused } from '../errors.ts';
import { authorizationJson, minedJson, pendingJson, placed, quantityOf, receiptJson } from '../format.ts';
import { absent, address, argument, data, hash, object, quantity, required, small } from '../params.ts';
import type { WalletTransaction } from '../ports.ts';
import type { MethodContext, MethodTable } from './method.ts';

function transactionAt(block: BlockRecord | null, index: number): unknown {
  const transaction = block?.transactions[index];
  return block === null || transaction === undefined ? null : minedJson(placed(transaction, block, index));
}

/** Receipt of a transaction once it is in a block, or a refusal after `timeoutMs`. */
function waitForReceipt({ chain }: MethodContext, wanted: Hash, timeoutMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const stop = chain.onHead(({ receipts }) => {
      const receipt = receipts.find((candidate) => candidate.transactionHash === wanted);
      if (receipt === undefined) return;
      clearTimeout(timer);
      stop();
      resolve(receiptJson(receipt));
    });
    const timer = setTimeout(() => {
      stop();
      const message = `the transaction was added to the pool but not to a block within ${timeoutMs} ms`;
      reject(new FaultError(fault('timeout', message, { hash: wanted })));
    }, timeoutMs);
    timer.unref();
  });
}

/** eth_fillTransaction: the object with nonce, gas, fees and chain id put in, as a client would sign it. */
async function fill(context: MethodContext, value: unknown): Promise<Readonly<Record<string, unknown>>> {
  const { chain, fees, limits } = context;
  const request = callRequest(value, argument(0), chain.chainId, limits);
  if (request.from === undefined) throw invalidParams('invalid argument 0.from: missing');
  const tip = request.maxPriorityFeePerGas ?? (await fees.tip());
  const maxFee = request.maxFeePerGas ?? tip + 2n * chain.nextBaseFee();
  const gas = request.gas ?? unwrap(await chain.estimateGas(request, chain.head().header.number));
  const filled: Record<string, unknown> = {
    type: quantityOf(typeOf(request)),
    from: request.from,
    to: request.to ?? null,
    chainId: quantityOf(chain.chainId),
    nonce: quantityOf(request.nonce ?? chain.pool.pendingNonce(request.from)),
    gas: quantityOf(gas),
    value: quantityOf(request.value ?? 0n),
    input: toHex(request.data ?? new Uint8Array(0)),
  };
  if (request.gasPrice !== undefined) {
    const { accessList } = request;
    return { ...filled, gasPrice: quantityOf(request.gasPrice), ...(accessList === undefined ? {} : { accessList }) };
  }
  return {
    ...filled,
    maxFeePerGas: quantityOf(maxFee),
    maxPriorityFeePerGas: quantityOf(tip),
    accessList: request.accessList ?? [],
    ...(request.authorizationList === undefined
      ? {}
      : { authorizationList: request.authorizationList.map(authorizationJson) }),
  };
}

/** The least type that can carry what the message says. */
function typeOf({ gasPrice, accessList, authorizationList }: CallRequest): number {
  if (authorizationList === undefined) return gasPrice === undefined ? 2 : accessList === undefined ? 0 : 1;
  if (gasPrice === undefined) return 4;
  throw invalidParams('invalid argument 0.gasPrice: a transaction with an authorizationList has maxFeePerGas');
}

function walletTransaction(value: unknown, addresses: readonly string[]): WalletTransaction {
  const at = argument(0);
  const wanted = object(value, at);
  const optional = (field: string): bigint | null =>
    absent(wanted[field]) ? null : quantity(wanted[field], `${at}.${field}`);
  const from = absent(wanted.from) ? addresses[0] : address(wanted.from, `${at}.from`);
  if (from === undefined || !addresses.includes(from)) throw refused('unknown account');
  const gasPrice = optional('gasPrice');
  return {
    from: address(from, `${at}.from`),
    to: absent(wanted.to) ? null : address(wanted.to, `${at}.to`),
    value: optional('value') ?? 0n,
    data: inputOf(wanted, at) ?? new Uint8Array(0),
    gas: optional('gas'),
    nonce: optional('nonce'),
    maxFeePerGas: optional('maxFeePerGas') ?? gasPrice,
    maxPriorityFeePerGas: optional('maxPriorityFeePerGas') ?? gasPrice,
  };
}

export const transactionMethods: MethodTable = {
  eth_sendRawTransaction: {
    params: 'raw',
    summary: 'Adds a signed transaction to the pool, spreads it, and returns its hash.',
    cost: 5,
    prepare: ({ ports }, calls) =>
      ports.prepareTransactions?.(calls.flatMap(([raw]) => (isHex(raw) && raw.length > 2 ? [fromHex(raw)] : []))),
    run: async ({ ports }, params) => unwrap(await ports.submitTransaction(data(required(params, 0), argument(0)))),
  },
  eth_sendRawTransactionSync: {
    params: 'raw, timeoutMs?',
    summary: 'As eth_sendRawTransaction, but returns the receipt once the transaction is in a block (EIP-7966).',
    cost: 10,
    async run(context, params) {
      const raw = data(required(params, 0), argument(0));
      const limit = context.limits.syncSendMs;
      const asked = params[1];
      const timeoutMs = absent(asked) ? limit : typeof asked === 'number' ? asked : small(asked, argument(1));
      if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > limit) {
        throw invalidParams(`invalid argument 1: expected 1 to ${limit} milliseconds`);
      }
      const sent = unwrap(await context.ports.submitTransaction(raw));
      const known = await context.chain.receipt(sent);
      return known === null ? waitForReceipt(context, sent, timeoutMs) : receiptJson(known);
    },
  },
  eth_sendTransaction: {
    params: '{from?, to?, value?, input?, gas?, nonce?, maxFeePerGas?, maxPriorityFeePerGas?}',
    summary: 'Signs with an account of this node and sends. Development networks on loopback only.',
    cost: 5,
    async run({ ports }, params) {
      if (ports.wallet === null) {
        const message =
          'eth_sendTransaction is not available: this node signs for nobody; sign locally and use eth_sendRawTransaction';
        throw new FaultError(fault('methodNotFound', message));
      }
      const wanted = walletTransaction(required(params, 0), ports.wallet.addresses());
      return unwrap(await ports.submitTransaction(unwrap(await ports.wallet.signTransaction(wanted))));
    },
  },
  eth_fillTransaction: {
    params: 'transaction',
    summary: 'The transaction with nonce, gas, fees and chain id filled in; nothing is signed or sent.',
    cost: 10,
    run: async (context, params) => ({ tx: await fill(context, required(params, 0)) }),
  },
  eth_getTransactionByHash: {
    params: 'hash',
    summary: 'Transaction from the chain or the pool; null when unknown.',
    async run({ chain }, params) {
      const wanted = hash(required(params, 0), argument(0));
      const record = await chain.transaction(wanted);
      if (record !== null) return minedJson(record);
      const waiting = chain.pool.get(wanted);
      return waiting === null ? null : pendingJson(waiting);
    },
  },
  eth_getTransactionReceipt: {
    params: 'hash',
    summary: 'Receipt of a transaction in a block; null while it is not.',
    async run({ chain }, params) {
      const receipt = await chain.receipt(hash(required(params, 0), argument(0)));
      return receipt === null ? null : receiptJson(receipt);
    },
  },
  eth_getTransactionByBlockHashAndIndex: {
    params: 'hash, index',
    summary: 'Transaction by its place; null when there is none.',
    async run({ chain }, params) {
      const block = await chain.blockByHash(hash(required(params, 0), argument(0)));
      return transactionAt(block, small(required(params, 1), argument(1)));
    },
  },
  eth_getTransactionByBlockNumberAndIndex: {
    params: 'block, index',
    summary: 'Transaction by its place; null when there is none.',
    async run({ chain }, params) {
      const block = await findBlock(chain, blockId(required(params, 0), argument(0)));
      return transactionAt(block, small(required(params, 1), argument(1)));
    },
  },
};
