// Owns a transaction on the state without the library's frame around it: checks, fees, warm sets, refunds (execution-specs,
// prague `process_transaction`). Messages with code run in the library's EVM; a transfer to an account without code runs
// none. Whatever is out of the ordinary or not valid is left to the library, whose words refusals carry.

import { equal } from '../base/bytes.ts';
import { type AccountRecord, EMPTY_ACCOUNT, EMPTY_CODE_HASH, isEmptyAccount } from './account.ts';
import type { Address, RawLog, Transaction } from './api.ts';
import { evmAddress, type ExecutionHeader, type ExecutionPlace, type Machine, rawLogs } from './evm.ts';
import { floorGas, intrinsicGas } from './gas.ts';
import { REFUND_QUOTIENT } from './limits.ts';
import { effectiveGasPrice } from './transaction.ts';

/** What became of a transaction that was valid in its place. */
export type Applied = Readonly<{ status: 0 | 1; gasUsed: bigint; logs: readonly RawLog[] }>;

/** A transaction that may run: its sender and recipient as they stand, and its prices. */
type Ready = Readonly<{
  sender: AccountRecord;
  recipient: AccountRecord | null;
  to: Address;
  price: bigint;
  owed: bigint;
  floor: bigint;
}>;

const LISTENED = ['step', 'beforeMessage', 'afterMessage', 'newContract'];

/** Everything that makes the transaction valid and ordinary, or null. Reads of pruned state, which wait, make it null too. */
function ready(machine: Machine, header: ExecutionHeader, tx: Transaction): Ready | null {
  const { journal } = machine;
  if (!machine.appliesAlone || tx.to === null || tx.type > 2) return null;
  if (tx.chainId !== null && tx.chainId !== machine.chainId) return null;
  const { events } = machine.evm;
  if (LISTENED.some((name) => events.listenerCount(name as 'step') > 0)) return null;
  const sender = journal.accountNow(tx.from);
  const recipient = journal.accountNow(tx.to);
  if (sender == null || recipient === undefined) return null;
  if (!equal(sender.codeHash, EMPTY_CODE_HASH) || sender.nonce !== BigInt(tx.nonce)) return null;
  const cap = tx.gasPrice ?? tx.maxFeePerGas ?? 0n;
  if (cap < header.baseFeePerGas || sender.balance < tx.gas * cap + tx.value || tx.gas > header.gasLimit) return null;
  const owed = intrinsicGas(tx);
  const floor = machine.hasFloor ? floorGas(tx.input) : 0n;
  if (tx.gas < owed || tx.gas < floor) return null;
  return { sender, recipient, to: tx.to, price: effectiveGasPrice(tx, header.baseFeePerGas), owed, floor };
}

/** Runs a valid, ordinary transaction; null leaves it, untouched, to the library. */
export function applyTransaction(
  machine: Machine,
  place: ExecutionPlace,
  header: ExecutionHeader,
  tx: Transaction,
): Applied | null | Promise<Applied> {
  const parts = ready(machine, header, tx);
  if (parts === null) return null;
  if (machine.evm.precompiles.has(parts.to.slice(2))) return null;
  if (parts.recipient !== null && !equal(parts.recipient.codeHash, EMPTY_CODE_HASH)) {
    return callContract(machine, place, header, tx, parts);
  }
  return transfer(machine, header, tx, parts);
}

/** Value and fees only. An account that is there but empty (EIP-161 deletes it when touched) is the library's matter. */
function transfer(machine: Machine, header: ExecutionHeader, tx: Transaction, parts: Ready): Applied | null {
  const { journal } = machine;
  const { sender, recipient, to, price } = parts;
  const author = journal.accountNow(header.coinbase);
  if (author === undefined || isEmptyAccount(author) || isEmptyAccount(recipient)) return null;
  const gasUsed = parts.owed < parts.floor ? parts.floor : parts.owed;
  const left = sender.balance - gasUsed * price - tx.value;
  journal.setAccount(tx.from, { ...sender, nonce: sender.nonce + 1n, balance: left });
  if (tx.value > 0n) credit(machine, to, tx.value);
  credit(machine, header.coinbase, gasUsed * (price - header.baseFeePerGas));
  return { status: 1, gasUsed, logs: [] };
}

function credit(machine: Machine, address: Address, amount: bigint): void {
  if (amount === 0n) return;
  // Read again: sender, recipient and author may be one account.
  const account = machine.journal.accountNow(address) ?? EMPTY_ACCOUNT;
  machine.journal.setAccount(address, { ...account, balance: account.balance + amount });
}

async function callContract(
  machine: Machine,
  place: ExecutionPlace,
  header: ExecutionHeader,
  tx: Transaction,
  parts: Ready,
): Promise<Applied> {
  const { evm, journal } = machine;
  const { sender, price, owed, floor } = parts;
  evm.journal.cleanJournal();
  await evm.journal.checkpoint();
  try {
    warm(machine, header, tx, parts.to);
    journal.setAccount(tx.from, { ...sender, nonce: sender.nonce + 1n, balance: sender.balance - tx.gas * price });
    const { execResult } = await evm.runCall({
      block: place,
      gasPrice: price,
      caller: evmAddress(tx.from),
      gasLimit: tx.gas - owed,
      to: evmAddress(parts.to),
      value: tx.value,
      data: tx.input,
      skipNonceIncrement: true,
    });
    const spent = owed + execResult.executionGasUsed;
    const earned = execResult.gasRefund ?? 0n;
    const allowed = spent / REFUND_QUOTIENT;
    const refunded = spent - (earned < allowed ? earned : allowed);
    const gasUsed = refunded < floor ? floor : refunded;
    credit(machine, tx.from, (tx.gas - gasUsed) * price);
    credit(machine, header.coinbase, gasUsed * (price - header.baseFeePerGas));
    // EIP-161: the author is touched even when it earns nothing.
    const author = evmAddress(header.coinbase);
    if (isEmptyAccount(await journal.account(header.coinbase))) await journal.deleteAccount(author);
    for (const address of execResult.selfdestruct?.keys() ?? []) {
      // EIP-6780: only what was made in this transaction goes.
      if (execResult.createdAddresses?.has(address) !== true) continue;
      await evm.journal.deleteAccount(evmAddress(address as Address));
    }
    await evm.journal.cleanup();
    await evm.journal.commit();
    const failed = execResult.exceptionError !== undefined;
    return { status: failed ? 0 : 1, gasUsed, logs: failed ? [] : rawLogs(execResult.logs) };
  } catch (error) {
    await evm.journal.revert();
    throw error;
  } finally {
    evm.journal.cleanJournal();
    evm.transientStorage.clear();
    journal.originalStorageCache.clear();
  }
}

/** EIP-2929, 2930, 3651: what is warm before the first opcode. */
function warm(machine: Machine, header: ExecutionHeader, tx: Transaction, to: Address): void {
  const { journal, precompiles } = machine.evm;
  for (const address of precompiles.keys()) journal.addAlwaysWarmAddress(address);
  journal.addAlwaysWarmAddress(tx.from);
  journal.addAlwaysWarmAddress(to);
  journal.addAlwaysWarmAddress(header.coinbase);
  for (const { address, storageKeys } of tx.accessList ?? []) {
    journal.addAlwaysWarmAddress(address);
    for (const slot of storageKeys) journal.addAlwaysWarmSlot(address, slot);
  }
}
