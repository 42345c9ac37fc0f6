// Owns eth_simulateV1: what would follow a block, shown as blocks with the results of their calls.

import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import type { Log } from '../../chain/api.ts';
import type { SimulatedCall } from '../../chain/simulated-call.ts';
import type { SimulatedBlock } from '../../chain/simulation.ts';
import { blockId, resolveNumber } from '../block-id.ts';
import { blockJson, logJson, quantityOf } from '../format.ts';
import { argument, required } from '../params.ts';
import { simulationRequest } from '../simulation-request.ts';
import type { MethodTable } from './method.ts';

/** Codes inside a result: a revert, and any other failure of the EVM (EIP-1474's range). */
const REVERTED = 3;
const VM_ERROR = -32015;

function simulatedJson({ block, calls }: SimulatedBlock, full: boolean): unknown {
  return {
    ...blockJson(block, full),
    calls: calls.map((call, transactionIndex) => {
      const logs = call.logs.map(
        (log): Log => ({
          ...log,
          blockNumber: block.header.number,
          blockHash: block.hash,
          blockTimestamp: block.header.timestamp,
          transactionHash: call.transaction.hash,
          transactionIndex,
        }),
      );
      return { ...callJson(call), logs: logs.map(logJson) };
    }),
  };
}

function callJson({ failure, returned, gasUsed, maxUsedGas }: SimulatedCall): Readonly<Record<string, unknown>> {
  const used = { gasUsed: quantityOf(gasUsed), maxUsedGas: quantityOf(maxUsedGas) };
  const data = toHex(returned);
  if (failure === null) return { status: '0x1', returnData: data, ...used };
  const reverted = failure.kind === 'reverted';
  const error = reverted
    ? { code: REVERTED, message: failure.message, data }
    : { code: VM_ERROR, message: failure.message };
  return { status: '0x0', returnData: '0x', ...used, error };
}

export const simulateMethods: MethodTable = {
  eth_simulateV1: {
    params: '{blockStateCalls, traceTransfers?, validation?, returnFullTransactions?}, block?',
    summary: 'Blocks that might follow one, with overrides, and what their calls would do; nothing is kept.',
    cost: 50,
    async run({ chain, limits }, params) {
      const wanted = simulationRequest(required(params, 0), argument(0), chain.chainId, limits);
      const number = await resolveNumber(chain, blockId(params[1], argument(1)));
      const blocks = unwrap(await chain.simulate(wanted, number));
      return blocks.map((block) => simulatedJson(block, wanted.fullTransactions));
    },
  },
};
