// Owns the execution of a block's contents on the parent's state: system writes and calls, transactions, withdrawals.
// It judges no header and writes nothing to disk.

import { fromHex, u256be, utf8, toHex } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { ONE_GWEI } from '../base/units.ts';
import { EMPTY_ACCOUNT } from './account.ts';
import { applyTransaction } from './apply.ts';
import type { Address, RawLog, SystemCall, Transaction, Withdrawal } from './api.ts';
import {
  evmAddress,
  executionPlace,
  type ExecutionHeader,
  type ExecutionPlace,
  type Machine,
  rawLogs,
  runTransaction,
  typedTransaction,
} from './evm.ts';
import { SYSTEM_CALL_GAS } from './limits.ts';
import { BEACON_ROOTS, HISTORY_STORAGE } from './predeploys.ts';
import type { Outcome } from './receipt.ts';
import type { StateChanges, StateJournal, StateSource } from './state-journal.ts';
import { createdAddress } from './transaction.ts';

/** Caller of system calls (EIP-4788). */
export const SYSTEM_CALLER: Address = '0xfffffffffffffffffffffffffffffffffffffffe';

export type Contents = Readonly<{
  header: ExecutionHeader & Readonly<{ parentBeaconBlockRoot: `0x${string}` }>;
  calls: readonly SystemCall[];
  withdrawals: readonly Withdrawal[];
}>;

export type Execution = Readonly<{
  transactions: readonly Transaction[];
  outcomes: readonly Outcome[];
  systemLogs: readonly RawLog[];
  gasUsed: bigint;
  left: readonly Readonly<{ hash: `0x${string}`; fault: Fault }>[];
  changes: StateChanges;
}>;

/** Bytes and time a proposer may fill; a validator passes none and every transaction must run. */
export type Room = Readonly<{ bytes: number; expired: (included: number) => boolean }>;

/** Runs contents and transactions on `source`. With `room`, what does not fit or run is left out; without, it is a Fault. */
export async function execute(
  machine: Machine,
  source: StateSource,
  contents: Contents,
  transactions: readonly Transaction[],
  room: Room | null,
): Promise<Result<Execution>> {
  const place = executionPlace(machine.common, contents.header);
  const begun = await begin(machine, source, contents, place);
  if (!begun.ok) return begun;
  const included: Transaction[] = [];
  const outcomes: Outcome[] = [];
  const left: { hash: `0x${string}`; fault: Fault }[] = [];
  let gasUsed = 0n;
  let bytes = 0;
  for (const [index, transaction] of transactions.entries()) {
    if (room?.expired(included.length) === true) break;
    const refusal = fits(transaction, contents.header.gasLimit - gasUsed, room === null ? null : room.bytes - bytes);
    const outcome = refusal ?? (await runOne(machine, place, contents.header, transaction, gasUsed));
    if (!outcome.ok) {
      if (room === null) return fault(outcome.code, `block.transactions[${index}]: ${outcome.message}`, { index });
      left.push({ hash: transaction.hash, fault: outcome });
      continue;
    }
    included.push(transaction);
    outcomes.push(outcome.value);
    gasUsed += outcome.value.gasUsed;
    bytes += transaction.raw.length + 4;
  }
  await payWithdrawals(machine.journal, contents.withdrawals);
  const changes = machine.journal.changes();
  return success({ transactions: included, outcomes, systemLogs: begun.value, gasUsed, left, changes });
}

/** Resets the machine to the parent's state and does what precedes the transactions; returns the system calls' logs. */
export async function begin(
  machine: Machine,
  source: StateSource,
  contents: Contents,
  place: ExecutionPlace,
): Promise<Result<readonly RawLog[]>> {
  const { journal } = machine;
  journal.reset(source);
  const { header } = contents;
  await writeBeaconRoot(journal, header.timestamp, fromHex(header.parentBeaconBlockRoot));
  await writeParentHash(journal, header.number, fromHex(header.parentHash));
  const logs: RawLog[] = [];
  for (const call of contents.calls) {
    const done = await systemCall(machine, place, call);
    if (!done.ok) return done;
    logs.push(...done.value);
  }
  return success(logs);
}

function fits(transaction: Transaction, gasLeft: bigint, bytesLeft: number | null): Fault | null {
  if (transaction.gas > gasLeft)
    return fault('gasLimitReached', 'gas limit reached', { gas: transaction.gas, left: gasLeft });
  if (bytesLeft !== null && transaction.raw.length > bytesLeft) return fault('blockFull', 'block size limit reached');
  return null;
}

async function runOne(
  machine: Machine,
  place: ExecutionPlace,
  header: ExecutionHeader,
  transaction: Transaction,
  blockGasUsed: bigint,
): Promise<Result<Outcome>> {
  const failure = machine.failure?.() ?? null;
  if (failure !== null) throw failure;
  try {
    const pending = applyTransaction(machine, place, header, transaction);
    const applied = pending instanceof Promise ? await pending : pending;
    if (applied !== null) return success({ ...applied, contractAddress: null });
    const result = await runTransaction(machine, place, typedTransaction(machine.common, transaction), blockGasUsed);
    return success({
      status: result.execResult.exceptionError === undefined ? 1 : 0,
      gasUsed: result.totalGasSpent,
      contractAddress: transaction.to === null ? createdAddress(fromHex(transaction.from), transaction.nonce) : null,
      logs: rawLogs(result.execResult.logs),
    });
  } catch (error) {
    // A damaged database throws through the library too; that is never the transaction's fault.
    const damage = machine.failure?.() ?? null;
    if (damage !== null) throw damage;
    return fault('invalidTransaction', firstClause(error), { hash: transaction.hash });
  }
}

/** The library appends the whole block and transaction to its messages. */
function firstClause(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split(' (vm hf=')[0] ?? text;
}

/** EIP-4788: the ring buffers of timestamps and roots. */
export async function writeBeaconRoot(journal: StateJournal, timestamp: number, root: Uint8Array): Promise<void> {
  if ((await journal.account(BEACON_ROOTS)) === null) return;
  const length = 8_191n;
  const index = BigInt(timestamp) % length;
  journal.setSlot(BEACON_ROOTS, toHex(u256be(index)), u256be(BigInt(timestamp)));
  journal.setSlot(BEACON_ROOTS, toHex(u256be(index + length)), root);
}

/** EIP-2935: the ring buffer of block hashes. */
export async function writeParentHash(journal: StateJournal, number: number, parentHash: Uint8Array): Promise<void> {
  if ((await journal.account(HISTORY_STORAGE)) === null) return;
  journal.setSlot(HISTORY_STORAGE, toHex(u256be(BigInt(number - 1) % 8_191n)), parentHash);
}

async function systemCall(
  machine: Machine,
  place: ExecutionPlace,
  call: SystemCall,
): Promise<Result<readonly RawLog[]>> {
  const { evm, journal } = machine;
  if ((await journal.account(call.to)) === null) return success([]);
  const caller = await journal.account(SYSTEM_CALLER);
  const result = await evm.runCall({
    caller: evmAddress(SYSTEM_CALLER),
    to: evmAddress(call.to),
    data: call.data,
    gasLimit: SYSTEM_CALL_GAS,
    block: place,
    skipNonceIncrement: true,
  });
  // The caller is no account: a call leaves no trace of it (EIP-4788).
  journal.setAccount(SYSTEM_CALLER, caller);
  await settle(machine);
  const failure = result.execResult.exceptionError;
  if (failure === undefined) return success(rawLogs(result.execResult.logs));
  const reason = `${failure.error} ${toHex(result.execResult.returnValue)}`;
  if (call.mustSucceed === true)
    return fault('systemCallFailed', `system call to ${call.to} failed: ${reason}`, { to: call.to });
  return success([{ address: SYSTEM_CALLER, topics: [], data: utf8(`system call to ${call.to} failed: ${reason}`) }]);
}

/** Ends a message outside a transaction: warm sets, transient storage and original values last no longer. */
export async function settle(machine: Machine): Promise<void> {
  await machine.evm.journal.cleanup();
  machine.evm.transientStorage.clear();
  machine.journal.originalStorageCache.clear();
}

/** EIP-4895: mints after the last transaction. */
export async function payWithdrawals(journal: StateJournal, withdrawals: readonly Withdrawal[]): Promise<void> {
  for (const withdrawal of withdrawals) {
    const account = (await journal.account(withdrawal.address)) ?? EMPTY_ACCOUNT;
    if (withdrawal.amount === 0n) continue;
    journal.setAccount(withdrawal.address, { ...account, balance: account.balance + withdrawal.amount * ONE_GWEI });
  }
}
