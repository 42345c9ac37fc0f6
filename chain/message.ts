// Owns messages that leave no trace: eth_call, gas estimates, access lists. Each runs on a private overlay of one block's
// state, on one of a few machines.

import type { Block } from '@ethereumjs/block';
import type { EVMResult, Message } from '@ethereumjs/evm';
import type { Address as EvmAddress } from '@ethereumjs/util';
import { fromHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { EMPTY_ACCOUNT } from './account.ts';
import type {
  AccessListItem,
  Address,
  CallOutcome,
  CallOverrides,
  CallRequest,
  Hash,
  Header,
  RawLog,
  StateReads,
  TraceListener,
} from './api.ts';
import type { ChainLimits } from './limits.ts';
import { delegate } from './delegation.ts';
import { evmAddress, executionBlock, type Machine, rawLogs } from './evm.ts';
import { settle } from './execute.ts';
import { floorGas, intrinsicGas } from './gas.ts';
import { REFUND_QUOTIENT, TRACE_STEPS } from './limits.ts';
import { revertReason } from './revert-reason.ts';
import type { StateJournal, StateSource } from './state-journal.ts';

export const ZERO_ADDRESS: Address = `0x${'00'.repeat(20)}`;

/** Where a message runs: a block's header and its post-state. */
export type Place = Readonly<{ header: Header; source: StateSource }>;

/** A finished message; `list` is what it touched, when asked for. */
export type Ran = Readonly<{ outcome: CallOutcome; refund: bigint; list: readonly AccessListItem[] | null }>;

/** Runs one message. Faults say why it could not start, in geth's words. */
export async function runMessage(
  machine: Machine,
  place: Place,
  request: CallRequest,
  limits: Pick<ChainLimits, 'callGas'>,
  options: MessageOptions = {},
): Promise<Result<Ran>> {
  const { journal } = machine;
  journal.reset(place.source);
  if (options.overrides?.state !== undefined) await overrideState(journal, options.overrides.state);
  return showingStates(journal, options.trace, () => execute(machine, place, request, limits, options));
}

/** Runs something under a listener that wants to read the state on both sides; the journal is then as it was before. */
export async function showingStates<T>(
  journal: StateJournal,
  trace: TraceListener | undefined,
  run: () => Promise<T>,
): Promise<T> {
  if (trace?.states === undefined) return run();
  const reads = (written: readonly Address[]): StateReads => ({
    written,
    async account(address) {
      const record = await journal.account(address);
      return record === null ? null : { balance: record.balance, nonce: Number(record.nonce) };
    },
    code: (address) => journal.getCode(evmAddress(address)),
    storage: async (address, slot) =>
      `0x${Buffer.from(await journal.slot(address, slot))
        .toString('hex')
        .padStart(64, '0')}`,
  });
  await journal.checkpoint();
  let result: T;
  try {
    result = await run();
    await trace.states('after', reads(journal.written()));
  } finally {
    await journal.revert();
  }
  await trace.states('before', reads([]));
  return result;
}

type MessageOptions = Readonly<{
  overrides?: CallOverrides | undefined;
  trace?: TraceListener | undefined;
  list?: boolean;
}>;

async function execute(
  machine: Machine,
  place: Place,
  request: CallRequest,
  limits: Pick<ChainLimits, 'callGas'>,
  options: MessageOptions,
): Promise<Result<Ran>> {
  const { journal } = machine;
  const input = request.data ?? new Uint8Array(0);
  const from = request.from ?? ZERO_ADDRESS;
  const price = gasPrice(request, place.header.baseFeePerGas);
  if (!price.ok) return price;
  const gas = request.gas === undefined || request.gas > limits.callGas ? limits.callGas : request.gas;
  const owed = intrinsicGas({
    to: request.to ?? null,
    input,
    accessList: request.accessList ?? null,
    authorizationList: request.authorizationList ?? null,
  });
  const floor = floorGas(input);
  const least = greater(owed, floor);
  if (gas < least)
    return fault('intrinsicGas', `intrinsic gas too low: have ${gas}, want ${least}`, { have: gas, want: least });
  const unpaid = await charge(journal, from, gas * price.value, request);
  if (unpaid !== null) return unpaid;
  const block = blockOf(machine, place.header, price.value, options.overrides);
  warm(machine, block, from, request, options.list === true);
  const stop = options.trace === undefined ? () => {} : listen(machine, options.trace);
  try {
    const earned = await delegate(machine, from, request.authorizationList ?? []);
    const result = await machine.evm.runCall({
      caller: evmAddress(from),
      ...(request.to == null ? {} : { to: evmAddress(request.to) }),
      data: input,
      value: request.value ?? 0n,
      gasLimit: gas - owed,
      gasPrice: price.value,
      block,
    });
    const list = options.list === true ? touchedList(machine) : null;
    return success({ ...finish(result, owed, earned, floor, request), list });
  } finally {
    stop();
    delete machine.evm.journal.accessList;
    await settle(machine);
  }
}

const greater = (a: bigint, b: bigint): bigint => (a < b ? b : a);

/** What one gas costs. A message without fees costs nothing and sees a base fee of 0, as in geth. */
function gasPrice(request: CallRequest, baseFee: bigint): Result<bigint> {
  const { gasPrice: price, maxFeePerGas, maxPriorityFeePerGas } = request;
  if (price !== undefined && (maxFeePerGas !== undefined || maxPriorityFeePerGas !== undefined)) {
    return fault('feeFields', 'both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified');
  }
  const ceiling = price ?? maxFeePerGas ?? 0n;
  const tip = maxPriorityFeePerGas ?? 0n;
  if (maxFeePerGas !== undefined && maxFeePerGas < tip) {
    return fault(
      'feeOrder',
      `max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: ${tip}, maxFeePerGas: ${maxFeePerGas}`,
    );
  }
  if (ceiling === 0n) return success(0n);
  if (ceiling < baseFee) {
    return fault(
      'feeTooLow',
      `max fee per gas less than block base fee: maxFeePerGas: ${ceiling}, baseFee: ${baseFee}`,
    );
  }
  if (price !== undefined) return success(price);
  return success(baseFee + tip < ceiling ? baseFee + tip : ceiling);
}

async function charge(journal: StateJournal, from: Address, fee: bigint, request: CallRequest): Promise<Fault | null> {
  const account = (await journal.account(from)) ?? EMPTY_ACCOUNT;
  const cost = fee + (request.value ?? 0n);
  if (account.balance < cost) {
    return fault(
      'insufficientFunds',
      `insufficient funds for gas * price + value: address ${from} have ${account.balance} want ${cost}`,
      { have: account.balance, want: cost },
    );
  }
  const nonce = request.nonce === undefined ? account.nonce : BigInt(request.nonce);
  if (fee > 0n || nonce !== account.nonce)
    journal.setAccount(from, { ...account, nonce, balance: account.balance - fee });
  return null;
}

export async function overrideState(
  journal: StateJournal,
  overrides: NonNullable<CallOverrides['state']>,
): Promise<void> {
  for (const [name, override] of Object.entries(overrides)) {
    const address = name.toLowerCase() as Address;
    if (override.code !== undefined) await journal.putCode(evmAddress(address), override.code);
    const account = (await journal.account(address)) ?? EMPTY_ACCOUNT;
    const nonce = override.nonce ?? account.nonce;
    journal.setAccount(address, { ...account, nonce, balance: override.balance ?? account.balance });
    if (override.state !== undefined) await journal.clearStorage(evmAddress(address));
    const slots = { ...override.state, ...override.stateDiff };
    for (const [slot, value] of Object.entries(slots)) journal.setSlot(address, slot as Hash, fromHex(value));
  }
}

function blockOf(machine: Machine, header: Header, price: bigint, overrides?: CallOverrides): Block {
  const base = price === 0n ? { baseFeePerGas: 0n } : {};
  return executionBlock(machine.common, { ...header, ...base, ...overrides?.block });
}

/** EIP-2929, 2930, 3651: what is warm before the first opcode. */
export function warm(
  machine: Machine,
  block: Block,
  from: Address,
  request: CallRequest,
  list: boolean,
  precompiles: Iterable<string> = machine.evm.precompiles.keys(),
): void {
  const { journal } = machine.evm;
  if (list) journal.startReportingAccessList();
  for (const address of precompiles) journal.addAlwaysWarmAddress(address);
  journal.addAlwaysWarmAddress(from);
  if (request.to != null) journal.addAlwaysWarmAddress(request.to);
  journal.addAlwaysWarmAddress(block.header.coinbase.toString());
  for (const item of request.accessList ?? []) {
    journal.addAlwaysWarmAddress(item.address, true);
    for (const slot of item.storageKeys) journal.addAlwaysWarmSlot(item.address, slot, true);
  }
}

function touchedList(machine: Machine): AccessListItem[] {
  const out: AccessListItem[] = [];
  for (const [address, slots] of present(machine.evm.journal.accessList, 'access list')) {
    out.push({ address: `0x${address}`, storageKeys: [...slots].map((slot): Hash => `0x${slot}`).sort() });
  }
  return out.sort((a, b) => (a.address < b.address ? -1 : 1));
}

function finish(
  result: EVMResult,
  owed: bigint,
  refunded: bigint,
  floor: bigint,
  request: CallRequest,
): Omit<Ran, 'list'> {
  const { execResult } = result;
  const spent = owed + execResult.executionGasUsed;
  const allowed = spent / REFUND_QUOTIENT;
  const earned = refunded + (execResult.gasRefund ?? 0n);
  const refund = earned < allowed ? earned : allowed;
  const gasUsed = greater(spent - refund, floor);
  const error = execResult.exceptionError?.error;
  const returned = execResult.returnValue;
  const failure =
    error === undefined
      ? null
      : error === 'revert'
        ? ({ kind: 'reverted', message: revertReason(returned) } as const)
        : ({ kind: 'exception', message: error } as const);
  const created = request.to == null && error === undefined ? (result.createdAddress?.toString() ?? null) : null;
  const logs: RawLog[] = error === undefined ? rawLogs(execResult.logs) : [];
  return { outcome: { returned, gasUsed, failure, logs, createdAddress: created }, refund };
}

/** Forwards the library's events; returns what unsubscribes. */
export function listen(machine: Machine, trace: TraceListener): () => void {
  const { events } = machine.evm;
  let steps = 0;
  const onStep = (event: StepEvent): void => {
    if (steps++ >= TRACE_STEPS) return;
    trace.step?.({
      address: event.address.toString(),
      pc: event.pc,
      op: event.opcode.name,
      gas: event.gasLeft,
      gasCost: event.opcode.dynamicFee ?? BigInt(event.opcode.fee),
      depth: event.depth + 1,
      stack: [...event.stack],
      memory: event.memory,
    });
  };
  const onEnter = (message: Message): void => {
    const type = message.to === undefined ? (message.salt === undefined ? 'CREATE' : 'CREATE2') : callType(message);
    trace.enter?.({
      type,
      from: message.caller.toString(),
      to: message.to?.toString() ?? null,
      value: message.value,
      gas: message.gasLimit,
      input: message.to === undefined && message.code instanceof Uint8Array ? message.code : message.data,
      depth: message.depth,
    });
  };
  const onExit = (result: EVMResult): void => {
    trace.exit?.({
      gasUsed: result.execResult.executionGasUsed,
      output: result.execResult.returnValue,
      error: result.execResult.exceptionError?.error ?? null,
      createdAddress: result.createdAddress?.toString() ?? null,
    });
  };
  if (trace.step !== undefined) events.on('step', onStep);
  if (trace.enter !== undefined) events.on('beforeMessage', onEnter);
  if (trace.exit !== undefined) events.on('afterMessage', onExit);
  return () => {
    events.off('step', onStep);
    events.off('beforeMessage', onEnter);
    events.off('afterMessage', onExit);
  };
}

type StepEvent = Readonly<{
  address: EvmAddress;
  pc: number;
  opcode: Readonly<{ name: string; fee: number; dynamicFee?: bigint }>;
  gasLeft: bigint;
  depth: number;
  stack: readonly bigint[];
  memory: Uint8Array;
}>;

function callType(message: Message): string {
  if (message.delegatecall) return 'DELEGATECALL';
  if (message.isStatic) return 'STATICCALL';
  return message.codeAddress.equals(message.to ?? message.codeAddress) ? 'CALL' : 'CALLCODE';
}
