// Owns an EVM with the referee and the soft-float probe in it, for their tests: calls, answers, gas.

import { createEVM, type EVM } from '@ethereumjs/evm';
import { createAddressFromString } from '@ethereumjs/util';
import { fromHex, type Hex, toHex } from '../../base/bytes.ts';
import { createCommon } from '../../chain/evm.ts';
import { encodeCall } from '../../chain/system/abi.ts';
import {
  decodeJudged,
  encodeJudge,
  type RefereeOpening,
  type RefereePiece,
  REFEREE_ADDRESSES,
  REFEREE_NAMES,
  refereeContract,
} from '../../chain/system/referee.ts';

/** `error` is the selector of a refusal or the EVM's own word. `gas` counts calldata and the transaction as well. */
export type Judged = Readonly<{ holds: boolean | null; error: string | null; gas: number; calldata: number }>;

export type RefereeWorld = Readonly<{
  judge(piece: RefereePiece, witness: readonly RefereeOpening[]): Promise<Judged>;
  /** The probe's operation on pairs of 32-bit words; results as words. */
  batch(
    operation: number,
    a: ArrayLike<number>,
    b: ArrayLike<number>,
  ): Promise<Readonly<{ words: Uint32Array; gas: number }>>;
}>;

const PROBE_ABI = [
  {
    type: 'function',
    name: 'batch',
    stateMutability: 'pure',
    inputs: [
      { name: 'operation', type: 'uint8' },
      { name: 'pairs', type: 'bytes' },
    ],
    outputs: [{ name: 'results', type: 'bytes' }],
  },
] as const;

const PROBE = '0x00000000000000000000000000000000000000f0';
const GAS = 1_000_000_000n;
const PER_CALL = 2_000;

type Ran = Readonly<{ gas: number; error: string | null; returnValue: Uint8Array }>;

async function call(evm: EVM, to: Hex, data: Uint8Array): Promise<Ran> {
  // Addresses and storage are cold again, as in a transaction of its own.
  await evm.journal.cleanup();
  const { execResult } = await evm.runCall({ to: createAddressFromString(to), data, gasLimit: GAS });
  const { executionGasUsed, exceptionError, returnValue } = execResult;
  return { gas: Number(executionGasUsed), error: exceptionError?.error ?? null, returnValue };
}

/** Gas of a transaction with this calldata: 21,000, the bytes (EIP-2028) and the execution, or the floor of EIP-7623. */
function transactionGas(data: Uint8Array, execution: number): number {
  const tokens = data.reduce((sum, byte) => sum + (byte === 0 ? 1 : 4), 0);
  return 21_000 + Math.max(4 * tokens + execution, 10 * tokens);
}

export async function openRefereeWorld(): Promise<RefereeWorld> {
  const evm = await createEVM({ common: createCommon(504_101) });
  const install = (at: Hex, name: Parameters<typeof refereeContract>[0]) =>
    evm.stateManager.putCode(createAddressFromString(at), fromHex(refereeContract(name).runtimeBytecode));
  for (const name of REFEREE_NAMES) await install(REFEREE_ADDRESSES[name], name);
  await install(PROBE, 'RefereeProbe');
  return {
    async judge(piece, witness) {
      const data = encodeJudge(piece, witness);
      const { gas, error, returnValue } = await call(evm, REFEREE_ADDRESSES.Referee, data);
      const answer = { gas: transactionGas(data, gas), calldata: data.length };
      if (error === null) return { ...answer, holds: decodeJudged(returnValue), error: null };
      return { ...answer, holds: null, error: returnValue.length >= 4 ? toHex(returnValue.subarray(0, 4)) : error };
    },
    async batch(operation, a, b) {
      const words = new Uint32Array(a.length);
      let total = 0;
      for (let from = 0; from < a.length; from += PER_CALL) {
        const count = Math.min(PER_CALL, a.length - from);
        const pairs = new DataView(new ArrayBuffer(8 * count));
        for (let i = 0; i < count; i++) {
          pairs.setUint32(8 * i, a[from + i] ?? 0);
          pairs.setUint32(8 * i + 4, b[from + i] ?? 0);
        }
        const data = encodeCall(PROBE_ABI, 'batch', [operation, toHex(new Uint8Array(pairs.buffer))]);
        const { gas, error, returnValue } = await call(evm, PROBE, data);
        if (error !== null) throw new Error(`probe: ${error}`);
        total += gas;
        const view = new DataView(returnValue.buffer, returnValue.byteOffset, returnValue.length);
        for (let i = 0; i < count; i++) words[from + i] = view.getUint32(64 + 4 * i);
      }
      return { words, gas: total };
    },
  };
}
