// Owns the methods that read accounts: balances, nonces, code, storage and proofs, at the head or in the kept window.

import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import type { StateView } from '../../chain/api.ts';
import { type BlockId, blockId, resolveNumber } from '../block-id.ts';
import { invalidParams } from '../errors.ts';
import { quantityOf } from '../format.ts';
import { address, argument, list, object, required, slot } from '../params.ts';
import type { MethodContext, MethodTable } from './method.ts';

/** State after the block an optional argument names. */
async function stateAt({ chain }: MethodContext, params: readonly unknown[], index: number): Promise<StateView> {
  return unwrap(chain.state(await resolveNumber(chain, blockId(params[index], argument(index)))));
}

const isPending = (id: BlockId): boolean => id.kind === 'head' && id.pending;

export const stateMethods: MethodTable = {
  eth_getBalance: {
    params: 'address, block?',
    summary: 'Balance in wei.',
    async run(context, params) {
      const account = address(required(params, 0), argument(0));
      return quantityOf(await (await stateAt(context, params, 1)).balance(account));
    },
  },
  eth_getTransactionCount: {
    params: 'address, block?',
    summary: "The account's nonce; at block pending, the next one after its transactions in the pool.",
    async run(context, params) {
      const account = address(required(params, 0), argument(0));
      if (isPending(blockId(params[1], argument(1)))) return quantityOf(context.chain.pool.pendingNonce(account));
      return quantityOf(await (await stateAt(context, params, 1)).nonce(account));
    },
  },
  eth_getCode: {
    params: 'address, block?',
    summary: 'Code of the account.',
    async run(context, params) {
      const account = address(required(params, 0), argument(0));
      return toHex(await (await stateAt(context, params, 1)).code(account));
    },
  },
  eth_getStorageAt: {
    params: 'address, slot, block?',
    summary: 'One storage slot, 32 bytes.',
    async run(context, params) {
      const account = address(required(params, 0), argument(0));
      const key = slot(required(params, 1), argument(1));
      return (await stateAt(context, params, 2)).storage(account, key);
    },
  },
  eth_getStorageValues: {
    params: '{address: [slot]}, block?',
    summary: 'Many storage slots of many accounts at one block.',
    cost: 5,
    async run(context, params) {
      const wanted = Object.entries(object(required(params, 0), argument(0)));
      const limit = context.limits.storageValueSlots;
      let total = 0;
      const requests = wanted.map(([key, value]) => {
        const slots = list(value, `argument 0[${key.slice(0, 44)}]`, limit).map((item) => slot(item, argument(0)));
        total += slots.length;
        return { account: address(key, argument(0)), slots };
      });
      if (total === 0) throw invalidParams('empty request');
      if (total > limit) throw invalidParams(`too many slots (max ${limit})`);
      const state = await stateAt(context, params, 1);
      const values: Record<string, string[]> = {};
      for (const { account, slots } of requests) {
        const read: string[] = [];
        for (const key of slots) read.push(await state.storage(account, key));
        values[account] = read;
      }
      return values;
    },
  },
  eth_getProof: {
    params: 'address, [slot], block?',
    summary: 'Account with Merkle proofs of it and of storage slots (EIP-1186).',
    cost: 10,
    async run({ chain }, params) {
      const account = address(required(params, 0), argument(0));
      const keys = list(required(params, 1), argument(1), chain.limits.proofSlots);
      const slots = keys.map((key, i) => slot(key, `argument 1[${i}]`));
      const id = blockId(params[2], argument(2));
      // The head by its tag is the head when the proof is made: a block may come while it waits.
      const number = id.kind === 'head' ? 'head' : await resolveNumber(chain, id);
      const proof = unwrap(await chain.proof(account, slots, number));
      return {
        address: proof.address,
        balance: quantityOf(proof.balance),
        nonce: quantityOf(proof.nonce),
        codeHash: proof.codeHash,
        storageHash: proof.storageHash,
        accountProof: proof.accountProof,
        storageProof: proof.storageProof.map((entry, i) => ({
          key: shownKey(keys[i], entry.key),
          value: quantityOf(entry.value),
          proof: entry.proof,
        })),
      };
    },
  },
};

/** The key in the form it was asked in: a full word stays one, anything shorter is a QUANTITY. */
function shownKey(asked: unknown, key: string): string {
  return typeof asked === 'string' && asked.length === 66 ? key : quantityOf(BigInt(key));
}
