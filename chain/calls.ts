// Owns what rpc asks of the EVM without a block: calls, gas estimates, access lists, traces. Messages run in message.ts.

import { fromHex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type {
  Address,
  BlockRecord,
  CallOutcome,
  CallOverrides,
  CallRequest,
  Chain,
  Transaction,
  TraceListener,
} from './api.ts';
import type { ChainLimits } from './limits.ts';
import { executionPlace, type ExecutionPlace, type Machine, rawLogs, runTransaction, typedTransaction } from './evm.ts';
import { begin, type Contents } from './execute.ts';
import { CALLS_WAITING } from './limits.ts';
import { listen, type Place, type Ran, runMessage, showingStates, ZERO_ADDRESS } from './message.ts';
import type { Lender } from './queue.ts';
import { revertReason } from './revert-reason.ts';
import type { StateSource } from './state-journal.ts';
import { createdAddress } from './transaction.ts';

export type CallShop = Readonly<{
  machines: Lender<Machine>;
  limits: ChainLimits;
  place(number: number): Result<Place>;
}>;

type Calls = Pick<Chain, 'call' | 'estimateGas' | 'accessList'>;

const TRANSFER_GAS = 21_000n;
/** EIP-150 keeps a 64th of the gas back at every call; a transfer's stipend is 2,300. */
const STIPEND = 2_300n;
/** The search ends when the bounds are this close, in thousandths, as geth's does. */
const CLOSE_ENOUGH = 15n;
const ACCESS_LIST_ROUNDS = 6;

export function createCalls(given: CallShop): Calls {
  const place = (number: number): Result<Place> =>
    given.machines.waiting() < CALLS_WAITING
      ? given.place(number)
      : fault('busy', 'too many calls are waiting; try again');
  const shop: CallShop = { ...given, place };
  return {
    async call(request, number, overrides, trace) {
      const place = shop.place(number);
      if (!place.ok) return place;
      const options = { overrides, trace };
      const ran = await shop.machines.lend((machine) =>
        runMessage(machine, place.value, request, shop.limits, options),
      );
      return ran.ok ? success(ran.value.outcome) : ran;
    },
    async estimateGas(request, number, overrides) {
      const place = shop.place(number);
      if (!place.ok) return place;
      return shop.machines.lend((machine) => estimate(shop, machine, place.value, request, overrides));
    },
    async accessList(request, number) {
      const place = shop.place(number);
      if (!place.ok) return place;
      return shop.machines.lend((machine) => findAccessList(shop, machine, place.value, request));
    },
  };
}

async function estimate(
  shop: CallShop,
  machine: Machine,
  place: Place,
  request: CallRequest,
  overrides?: CallOverrides,
): Promise<Result<bigint>> {
  const blockLimit = overrides?.block?.gasLimit ?? place.header.gasLimit;
  const asked = request.gas !== undefined && request.gas >= TRANSFER_GAS ? request.gas : blockLimit;
  let high = asked < shop.limits.callGas ? asked : shop.limits.callGas;
  const payable = await affordable(place.source, request, overrides);
  if (payable !== null && payable < high) high = payable;
  const attempt = (gas: bigint): Promise<Result<Ran>> =>
    runMessage(machine, place, { ...request, gas }, shop.limits, { overrides });
  if ((request.data?.length ?? 0) === 0 && request.to != null && (await isPlain(place.source, request.to, overrides))) {
    const quick = await attempt(TRANSFER_GAS);
    if (quick.ok && quick.value.outcome.failure === null) return success(TRANSFER_GAS);
  }
  const first = await attempt(high);
  if (!first.ok) return first;
  const failed = callFault(first.value.outcome, high);
  if (failed !== null) return failed;
  let low = first.value.outcome.gasUsed - 1n;
  const guess = ((first.value.outcome.gasUsed + first.value.refund + STIPEND) * 64n) / 63n;
  const works = async (gas: bigint): Promise<boolean> => {
    const ran = await attempt(gas);
    return ran.ok && ran.value.outcome.failure === null;
  };
  if (guess < high) {
    if (await works(guess)) high = guess;
    else low = guess;
  }
  while (low + 1n < high) {
    if ((high - low) * 1_000n < high * CLOSE_ENOUGH) break;
    // Most calls need little more than they use, so the middle is kept near the low end.
    const middle = (high + low) / 2n > low * 2n ? low * 2n : (high + low) / 2n;
    if (await works(middle)) high = middle;
    else low = middle;
  }
  return success(high);
}

async function isPlain(source: StateSource, to: Address, overrides?: CallOverrides): Promise<boolean> {
  if (overrides?.state?.[to]?.code !== undefined) return false;
  const account = await source.account(to);
  return account === null || (await source.code(account.codeHash)).length === 0;
}

/** Gas the sender can pay for, or null when the message costs nothing. */
async function affordable(
  source: StateSource,
  request: CallRequest,
  overrides?: CallOverrides,
): Promise<bigint | null> {
  const price = request.gasPrice ?? request.maxFeePerGas ?? 0n;
  if (price === 0n) return null;
  const from = request.from ?? ZERO_ADDRESS;
  const balance = overrides?.state?.[from]?.balance ?? (await source.account(from))?.balance ?? 0n;
  const left = balance - (request.value ?? 0n);
  return left < 0n ? null : left / price;
}

function callFault(outcome: CallOutcome, gas: bigint) {
  if (outcome.failure === null) return null;
  const data = `0x${Buffer.from(outcome.returned).toString('hex')}`;
  if (outcome.failure.kind === 'reverted') return fault('reverted', outcome.failure.message, { data });
  if (outcome.failure.message === 'out of gas')
    return fault('callFailed', `gas required exceeds allowance (${gas})`, { gas });
  return fault('callFailed', outcome.failure.message);
}

async function findAccessList(
  shop: CallShop,
  machine: Machine,
  place: Place,
  request: CallRequest,
): Promise<Awaited<ReturnType<Chain['accessList']>>> {
  const own = await ownAddresses(place.source, machine, request);
  let list = request.accessList ?? [];
  for (let round = 0; ; round++) {
    const ran = await runMessage(machine, place, { ...request, accessList: list }, shop.limits, { list: true });
    if (!ran.ok) return ran;
    // Addresses that are warm anyway earn an entry only by their slots.
    const next = (ran.value.list ?? []).filter((item) => item.storageKeys.length > 0 || !own.has(item.address));
    const same = JSON.stringify(next) === JSON.stringify(list);
    if (same || round === ACCESS_LIST_ROUNDS) {
      const { outcome } = ran.value;
      return success({ accessList: list, gasUsed: outcome.gasUsed, error: outcome.failure?.message ?? null });
    }
    list = next;
  }
}

async function ownAddresses(source: StateSource, machine: Machine, request: CallRequest): Promise<Set<Address>> {
  const from = request.from ?? ZERO_ADDRESS;
  const out = new Set<Address>([from]);
  for (const [address] of machine.evm.precompiles) out.add(`0x${address.padStart(40, '0')}`);
  if (request.to != null) out.add(request.to);
  else out.add(createdAddress(fromHex(from), request.nonce ?? Number((await source.account(from))?.nonce ?? 0n)));
  return out;
}

/** Runs a committed block again up to a transaction and that one under the listener. */
export async function retrace(
  machine: Machine,
  source: StateSource,
  block: BlockRecord,
  contents: Contents,
  index: number,
  trace: TraceListener,
): Promise<Result<CallOutcome>> {
  const place = executionPlace(machine.common, block.header);
  const begun = await begin(machine, source, contents, place);
  if (!begun.ok) return begun;
  return replay(machine, place, block, index, trace);
}

/** Runs the first transactions of a block whose state is prepared, the one at `index` under the listener. */
export async function replay(
  machine: Machine,
  place: ExecutionPlace,
  block: Pick<BlockRecord, 'transactions'>,
  index: number,
  trace: TraceListener,
): Promise<Result<CallOutcome>> {
  let gasUsed = 0n;
  for (const transaction of block.transactions.slice(0, index)) {
    gasUsed += (await runTransaction(machine, place, typedTransaction(machine.common, transaction), gasUsed))
      .totalGasSpent;
  }
  return showingStates(machine.journal, trace, () => traced(machine, place, block, index, gasUsed, trace));
}

async function traced(
  machine: Machine,
  place: ExecutionPlace,
  block: Pick<BlockRecord, 'transactions'>,
  index: number,
  gasUsed: bigint,
  trace: TraceListener,
): Promise<Result<CallOutcome>> {
  const transaction = block.transactions[index] as Transaction;
  const stop = listen(machine, trace);
  try {
    const { execResult, totalGasSpent } = await runTransaction(
      machine,
      place,
      typedTransaction(machine.common, transaction),
      gasUsed,
    );
    const error = execResult.exceptionError?.error;
    const reverted = error === 'revert';
    const failure =
      error === undefined
        ? null
        : ({
            kind: reverted ? 'reverted' : 'exception',
            message: reverted ? revertReason(execResult.returnValue) : error,
          } as const);
    return success({
      returned: execResult.returnValue,
      gasUsed: totalGasSpent,
      failure,
      logs: failure === null ? rawLogs(execResult.logs) : [],
      createdAddress: transaction.to === null ? createdAddress(fromHex(transaction.from), transaction.nonce) : null,
    });
  } finally {
    stop();
  }
}
