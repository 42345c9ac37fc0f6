// Owns the methods that execute without committing, and those that advise fees.

import { toHex } from '../../base/bytes.ts';
import { fromHex } from '../../base/bytes.ts';
import { FaultError, unwrap } from '../../base/fault.ts';
import { blockId, resolveNumber } from '../block-id.ts';
import { callOverrides, callRequest } from '../call-request.ts';
import { invalidParams } from '../errors.ts';
import { feeHistory } from '../fees.ts';
import { quantityOf } from '../format.ts';
import { absent, argument, atMost, count, list, required } from '../params.ts';
import { callFault, revertFault } from '../call-fault.ts';
import type { MethodTable } from './method.ts';

/** Percentiles of eth_feeHistory: ascending, 0 to 100. */
function percentiles(value: unknown, limit: number): readonly number[] | null {
  if (absent(value)) return null;
  const wanted = list(value, argument(2), limit);
  let before = 0;
  return wanted.map((item, i) => {
    if (typeof item !== 'number' || !(item >= 0 && item <= 100)) {
      throw invalidParams(`invalid argument 2[${i}]: invalid reward percentile, want 0 to 100`);
    }
    if (item < before) throw invalidParams(`invalid argument 2[${i}]: percentiles must ascend`);
    before = item;
    return item;
  });
}

export const callMethods: MethodTable = {
  eth_call: {
    params: 'transaction, block?, stateOverrides?, blockOverrides?',
    summary: "Result of a message on a block's state; nothing is committed.",
    cost: 5,
    async run({ chain, limits }, params) {
      atMost(params, 4);
      const request = callRequest(required(params, 0), argument(0), chain.chainId, limits);
      const number = await resolveNumber(chain, blockId(params[1], argument(1)));
      const outcome = unwrap(await chain.call(request, number, callOverrides(params[2], params[3], 2, limits)));
      const refusal = callFault(outcome);
      if (refusal !== null) throw new FaultError(refusal);
      return toHex(outcome.returned);
    },
  },
  eth_estimateGas: {
    params: 'transaction, block?, stateOverrides?, blockOverrides?',
    summary: 'Smallest gas limit with which the message succeeds.',
    cost: 10,
    async run({ chain, limits }, params) {
      atMost(params, 4);
      const request = callRequest(required(params, 0), argument(0), chain.chainId, limits);
      const number = await resolveNumber(chain, blockId(params[1], argument(1)));
      const estimate = await chain.estimateGas(request, number, callOverrides(params[2], params[3], 2, limits));
      if (!estimate.ok && estimate.code === 'reverted') {
        throw new FaultError(revertFault(fromHex(String(estimate.fields.data ?? '0x'))));
      }
      return quantityOf(unwrap(estimate));
    },
  },
  eth_createAccessList: {
    params: 'transaction, block?',
    summary: 'Access list (EIP-2930) the message would touch, with its gas.',
    cost: 10,
    async run({ chain, limits }, params) {
      const request = callRequest(required(params, 0), argument(0), chain.chainId, limits);
      const number = await resolveNumber(chain, blockId(params[1], argument(1)));
      const { accessList, gasUsed, error } = unwrap(await chain.accessList(request, number));
      return { accessList, gasUsed: quantityOf(gasUsed), ...(error === null ? {} : { error }) };
    },
  },
  eth_gasPrice: {
    params: '',
    summary: 'Suggested price per gas: the next base fee and the suggested tip.',
    run: async ({ fees }) => quantityOf(await fees.gasPrice()),
  },
  eth_maxPriorityFeePerGas: {
    params: '',
    summary: 'Suggested tip: the 60th percentile of what recent blocks took, at least 1 gwei.',
    run: async ({ fees }) => quantityOf(await fees.tip()),
  },
  eth_baseFee: {
    params: '',
    summary: 'Base fee of the next block.',
    run: ({ chain }) => quantityOf(chain.nextBaseFee()),
  },
  eth_blobBaseFee: {
    params: '',
    summary: 'Always 0x1: blob transactions are not carried.',
    run: () => '0x1',
  },
  eth_feeHistory: {
    params: 'blockCount, newestBlock, percentiles?',
    summary: 'Base fees, fullness and tips of a range of blocks.',
    cost: 10,
    async run({ chain, limits }, params) {
      const asked = count(required(params, 0), argument(0));
      const newest = await resolveNumber(chain, blockId(required(params, 1), argument(1)));
      const wanted = percentiles(params[2], limits.feeHistoryPercentiles);
      if (asked < 1) return { oldestBlock: '0x0', gasUsedRatio: [] };
      return feeHistory(chain, Math.min(asked, limits.feeHistoryBlocks), newest, wanted);
    },
  },
};
