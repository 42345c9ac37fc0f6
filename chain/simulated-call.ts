// Owns one call of a simulated block: its checks in go-ethereum's order, the unsigned transaction it stands for, its
// execution with fees. Blocks are simulation.ts.

import type { Block } from '@ethereumjs/block';
import type { EVMResult } from '@ethereumjs/evm';
import { fromHex } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { EMPTY_ACCOUNT } from './account.ts';
import type { Address, CallOutcome, CallRequest, Hash, Header, RawLog, Transaction } from './api.ts';
import { evmAddress, executionBlock, type Machine, rawLogs } from './evm.ts';
import { settle } from './execute.ts';
import { floorGas, intrinsicGas } from './gas.ts';
import { INIT_CODE_BYTES, REFUND_QUOTIENT } from './limits.ts';
import { warm, ZERO_ADDRESS } from './message.ts';
import { revertReason } from './revert-reason.ts';
import { createdAddress, type Unsigned, unsignedTransaction } from './transaction.ts';
import { type IndexedLog, type LogCounter, watchTransfers } from './transfer-logs.ts';

/** A call of eth_simulateV1: a call request that may also carry blob hashes. */
export type SimulationCall = CallRequest &
  Readonly<{ maxFeePerBlobGas?: bigint; blobVersionedHashes?: readonly Hash[] }>;

export type SimulatedCall = Readonly<{
  transaction: Transaction;
  returned: Uint8Array;
  gasUsed: bigint;
  /** Gas in use at the worst moment, before refunds. */
  maxUsedGas: bigint;
  failure: CallOutcome['failure'];
  /** With transfers as logs where they were asked for; `ownLogs` never has those. */
  logs: readonly IndexedLog[];
  ownLogs: readonly RawLog[];
  contractAddress: Address | null;
  blobGas: bigint;
}>;

/** What the calls of one simulated block share. */
export type CallRun = Readonly<{
  machine: Machine;
  header: Header;
  chainId: bigint;
  validation: boolean;
  traceTransfers: boolean;
  blobBaseFee: bigint;
  /** Gas used in the block, and what the whole simulation may still use. */
  gas: { used: bigint; left: bigint };
  /** Logs of the block so far. */
  logs: LogCounter;
  /** Addresses that are warm from the start, wherever precompiles were moved. */
  precompiles: readonly string[];
}>;

const BLOB_GAS = 131_072n;
const MAX_NONCE = 2n ** 64n - 1n;

type Terms = Readonly<{
  from: Address;
  gas: bigint;
  maxFee: bigint;
  tip: bigint;
  price: bigint;
  blobGas: bigint;
  /** Neither fees nor balance are asked for. */
  free: boolean;
}>;

export async function simulateCall(run: CallRun, given: SimulationCall): Promise<Result<SimulatedCall>> {
  const { machine, header } = run;
  const { journal } = machine;
  const from = given.from ?? ZERO_ADDRESS;
  const sender = (await journal.account(from)) ?? EMPTY_ACCOUNT;
  const wanted = given.gas ?? header.gasLimit - run.gas.used;
  if (run.gas.used + wanted > header.gasLimit) {
    return fault('simulatedGasLimit', `block gas limit reached: ${run.gas.used} >= ${header.gasLimit}`);
  }
  const terms = termsOf(run, given, from, wanted < run.gas.left ? wanted : run.gas.left);
  const nonce = BigInt(given.nonce ?? sender.nonce);
  const request: SimulationCall = { ...given, from, gas: terms.gas };
  const transaction = unsignedTransaction(fieldsOf(run, request, terms, Number(nonce)));
  const input = request.data ?? new Uint8Array(0);
  const owed = intrinsicGas(transaction);
  const floor = floorGas(input);
  const refusal =
    (run.validation ? wrongNonce(from, sender.nonce, nonce) : null) ??
    wrongFees(run, terms) ??
    unpayable(terms, sender.balance, request, run.blobBaseFee) ??
    wrongGas(request, terms, owed < floor ? floor : owed);
  if (refusal !== null) return refusal;
  const fee = terms.gas * terms.price + terms.blobGas * run.blobBaseFee;
  if (fee > 0n) journal.setAccount(from, { ...sender, balance: sender.balance - fee });
  const block = blockFor(run, terms);
  warm(machine, block, from, request, false, run.precompiles);
  const transfers = run.traceTransfers ? watchTransfers(machine, run.logs) : null;
  try {
    const result = await machine.evm.runCall({
      caller: evmAddress(from),
      ...(request.to == null ? {} : { to: evmAddress(request.to) }),
      data: input,
      value: request.value ?? 0n,
      gasLimit: terms.gas - owed,
      gasPrice: terms.price,
      ...(request.blobVersionedHashes === undefined ? {} : { blobVersionedHashes: [...request.blobVersionedHashes] }),
      block,
    });
    const spent = await settleFees(run, terms, result, owed, floor);
    const own = result.execResult.exceptionError === undefined ? rawLogs(result.execResult.logs) : [];
    const logs = transfers?.logs() ?? own.map((log) => ({ ...log, logIndex: run.logs.next++ }));
    return success({ ...resultOf(transaction, terms, result, Number(sender.nonce)), ...spent, logs, ownLogs: own });
  } finally {
    transfers?.stop();
    await settle(machine);
  }
}

function termsOf(run: CallRun, request: SimulationCall, from: Address, gas: bigint): Terms {
  const maxFee = request.gasPrice ?? request.maxFeePerGas ?? 0n;
  const tip = request.gasPrice ?? request.maxPriorityFeePerGas ?? 0n;
  const free = !run.validation && maxFee === 0n && tip === 0n;
  const { baseFeePerGas } = run.header;
  const full = baseFeePerGas + tip;
  const price = free ? 0n : full < maxFee ? full : maxFee;
  const blobGas = BLOB_GAS * BigInt(request.blobVersionedHashes?.length ?? 0);
  return { from, gas, maxFee, tip, price, blobGas, free };
}

function fieldsOf(run: CallRun, request: SimulationCall, terms: Terms, nonce: number): Unsigned {
  const legacy = request.gasPrice !== undefined;
  const blobs = request.blobVersionedHashes;
  const type = legacy ? 0 : blobs === undefined ? 2 : 3;
  return {
    type,
    chainId: legacy ? null : run.chainId,
    nonce,
    to: request.to ?? null,
    value: request.value ?? 0n,
    gas: terms.gas,
    gasPrice: legacy ? terms.maxFee : null,
    maxFeePerGas: legacy ? null : terms.maxFee,
    maxPriorityFeePerGas: legacy ? null : terms.tip,
    input: request.data ?? new Uint8Array(0),
    accessList: legacy ? null : (request.accessList ?? []),
    authorizationList: null,
    ...(type === 3 ? { maxFeePerBlobGas: request.maxFeePerBlobGas ?? 0n, blobVersionedHashes: blobs ?? [] } : {}),
    from: terms.from,
  };
}

/** Refusals keep go-ethereum's words; codes of eth_simulateV1 are rpc's. */
function wrongNonce(from: Address, have: bigint, given: bigint): Fault | null {
  if (given > have)
    return fault('simulatedNonceTooHigh', `err: nonce too high: address ${from}, tx: ${given} state: ${have}`);
  if (given < have)
    return fault('simulatedNonceTooLow', `err: nonce too low: address ${from}, tx: ${given} state: ${have}`);
  return have === MAX_NONCE ? fault('internal', `err: nonce has max value: address ${from}, nonce: ${have}`) : null;
}

function wrongFees(run: CallRun, { from, maxFee, tip, free }: Terms): Fault | null {
  if (free) return null;
  const { baseFeePerGas } = run.header;
  if (tip > maxFee) {
    return fault(
      'invalidParams',
      `err: max priority fee per gas higher than max fee per gas: address ${from}, maxPriorityFeePerGas: ${tip}, maxFeePerGas: ${maxFee}`,
    );
  }
  if (maxFee >= baseFeePerGas) return null;
  return fault(
    'simulatedFeeTooLow',
    `err: max fee per gas less than block base fee: address ${from}, maxFeePerGas: ${maxFee}, baseFee: ${baseFeePerGas}`,
  );
}

function unpayable(terms: Terms, balance: bigint, request: SimulationCall, blobBaseFee: bigint): Fault | null {
  const blobPrice = request.maxFeePerBlobGas ?? blobBaseFee;
  const cost = terms.gas * terms.maxFee + (request.value ?? 0n) + terms.blobGas * blobPrice;
  if (balance >= cost) return null;
  const message = `err: insufficient funds for gas * price + value: address ${terms.from} have ${balance} want ${cost}`;
  return fault('simulatedFunds', message);
}

function wrongGas(request: SimulationCall, { gas }: Terms, least: bigint): Fault | null {
  if (gas < least) return fault('simulatedIntrinsicGas', `err: intrinsic gas too low: have ${gas}, want ${least}`);
  const size = request.data?.length ?? 0;
  if (request.to != null || size <= INIT_CODE_BYTES) return null;
  return fault('simulatedInitCode', `err: max initcode size exceeded: code size ${size} limit ${INIT_CODE_BYTES}`);
}

/** A message without fees sees a base fee of 0, so that the price is never below it. */
function blockFor(run: CallRun, terms: Terms): Block {
  const header = terms.free ? { ...run.header, baseFeePerGas: 0n } : run.header;
  const block = executionBlock(run.machine.common, header);
  block.header.getBlobGasPrice = () => run.blobBaseFee;
  return block;
}

type Spent = Readonly<{ gasUsed: bigint; maxUsedGas: bigint }>;

/** Refunds what was not used, pays the tip, removes contracts that destroyed themselves where they were made (EIP-6780). */
async function settleFees(
  run: CallRun,
  terms: Terms,
  { execResult }: EVMResult,
  owed: bigint,
  floor: bigint,
): Promise<Spent> {
  const { journal } = run.machine;
  const spent = owed + execResult.executionGasUsed;
  const allowed = spent / REFUND_QUOTIENT;
  const earned = execResult.gasRefund ?? 0n;
  const afterRefund = spent - (earned < allowed ? earned : allowed);
  const gasUsed = afterRefund < floor ? floor : afterRefund;
  const back = (terms.gas - gasUsed) * terms.price;
  if (back > 0n) await pay(run, terms.from, back);
  const tip = terms.free ? 0n : (terms.price - run.header.baseFeePerGas) * gasUsed;
  if (tip > 0n) await pay(run, run.header.coinbase, tip);
  for (const address of execResult.selfdestruct?.keys() ?? []) {
    if (execResult.createdAddresses?.has(address) === true) await journal.deleteAccount(evmAddress(address as Address));
  }
  run.gas.used += gasUsed;
  run.gas.left -= gasUsed;
  return { gasUsed, maxUsedGas: spent < floor ? floor : spent };
}

async function pay({ machine: { journal } }: CallRun, to: Address, amount: bigint): Promise<void> {
  const account = (await journal.account(to)) ?? EMPTY_ACCOUNT;
  journal.setAccount(to, { ...account, balance: account.balance + amount });
}

function resultOf(
  transaction: Transaction,
  terms: Terms,
  { execResult }: EVMResult,
  stateNonce: number,
): Omit<SimulatedCall, 'gasUsed' | 'maxUsedGas' | 'logs' | 'ownLogs'> {
  const error = execResult.exceptionError?.error;
  const returned = execResult.returnValue;
  const reverted = error === 'revert';
  return {
    transaction,
    returned,
    failure:
      error === undefined
        ? null
        : { kind: reverted ? 'reverted' : 'exception', message: reverted ? revertReason(returned) : error },
    contractAddress: transaction.to === null ? createdAddress(fromHex(terms.from), stateNonce) : null,
    blobGas: terms.blobGas,
  };
}
