// Owns a challenger's access to a chain: a node's JSON-RPC for reading and sending, a wallet key for signing.

import { type Hex, fromHex, toHex } from '../base/bytes.ts';
import { FaultError, fault } from '../base/fault.ts';
import type { ContractCall, SystemLog } from '../chain/system/api.ts';
import type { ChallengerChain, SentMove } from '../node/challenger.ts';
import { systemClock } from '../node/clock.ts';
import { signTransaction } from '../node/wallet.ts';
import { type NodeAddress, callRpc } from './api-client.ts';

const RECEIPT_POLLS = 480;
const POLL_MS = 250;
/** Over the estimate, for what others' transactions change before ours. */
const MARGIN_PERCENT = 25n;

const quantity = (value: unknown): bigint => BigInt(value as string);
const hex = (value: number): Hex => `0x${value.toString(16)}`;

export function challengeChain(
  node: NodeAddress,
  wallet: Readonly<{ secretKey: Uint8Array; address: Hex }>,
): ChallengerChain {
  const rpc = (method: string, params: readonly unknown[]): Promise<unknown> => callRpc(node, method, params);
  const height = async (): Promise<number> => Number(quantity(await rpc('eth_blockNumber', [])));

  async function send(call: ContractCall, least: bigint): Promise<SentMove> {
    const transaction = {
      from: wallet.address,
      to: call.to,
      data: toHex(call.data),
      value: `0x${call.value.toString(16)}`,
    };
    let estimate: bigint;
    try {
      estimate = quantity(await rpc('eth_estimateGas', [transaction]));
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      return { ok: false, gasUsed: 0, logs: [], reason: error.fault.message };
    }
    const [chainId, nonce, tip, block] = await Promise.all([
      rpc('eth_chainId', []),
      rpc('eth_getTransactionCount', [wallet.address, 'pending']),
      rpc('eth_maxPriorityFeePerGas', []),
      rpc('eth_getBlockByNumber', ['latest', false]),
    ]);
    const baseFee = quantity((block as { baseFeePerGas: string }).baseFeePerGas);
    const wanted = (estimate * (100n + MARGIN_PERCENT)) / 100n;
    const { raw, hash } = signTransaction(
      {
        chainId: quantity(chainId),
        nonce: quantity(nonce),
        maxPriorityFeePerGas: quantity(tip),
        maxFeePerGas: 2n * baseFee + quantity(tip),
        gas: wanted > least ? wanted : least,
        to: call.to,
        value: call.value,
        data: call.data,
      },
      wallet.secretKey,
    );
    await rpc('eth_sendRawTransaction', [toHex(raw)]);
    for (let poll = 0; poll < RECEIPT_POLLS; poll++) {
      const receipt = (await rpc('eth_getTransactionReceipt', [hash])) as null | {
        status: string;
        gasUsed: string;
        logs: readonly SystemLog[];
      };
      if (receipt !== null) {
        const ok = receipt.status === '0x1';
        const reason = ok ? '' : `failed in its block (${hash})`;
        return { ok, gasUsed: Number(quantity(receipt.gasUsed)), logs: receipt.logs, reason };
      }
      await systemClock.sleep(POLL_MS);
    }
    throw new FaultError(fault('receipt', `${hash} is in no block after ${(RECEIPT_POLLS * POLL_MS) / 1_000} s`));
  }

  return {
    address: wallet.address,
    view: async (to, data) => fromHex((await rpc('eth_call', [{ to, data: toHex(data) }, 'latest'])) as Hex),
    height,
    async logs(from, to, address) {
      const range = { fromBlock: hex(from), toBlock: hex(to), address };
      return (await rpc('eth_getLogs', [range])) as readonly SystemLog[];
    },
    send,
    sleep: (ms) => systemClock.sleep(ms),
  };
}
