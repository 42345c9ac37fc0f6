// Owns eth_simulateV1: blocks that might follow one of the chain, each with its own overrides and calls, down to their
// hashes. Nothing of it is kept. One call is simulated-call.ts.

import { fromHex, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import type { Address, BlockOverride, BlockRecord, Hash, Header, StateOverride, Withdrawal } from './api.ts';
import { blockRecord, withdrawalRlp } from './block-codec.ts';
import type { Machine } from './evm.ts';
import { payWithdrawals, writeBeaconRoot, writeParentHash } from './execute.ts';
import { EMPTY_OMMERS, EMPTY_REQUESTS, headerHash, nextBaseFee, ZERO_BLOOM, ZERO_HASH, ZERO_NONCE } from './header.ts';
import { SIMULATED_BLOCKS, SIMULATED_CALLS, SIMULATED_INTERVAL } from './limits.ts';
import { overrideState, type Place } from './message.ts';
import { logsBloom, orBlooms, receiptRlp } from './receipt.ts';
import { type SimulatedCall, type SimulationCall, simulateCall } from './simulated-call.ts';
import type { StateChanges } from './state-journal.ts';
import { listRoot } from './trie.ts';
import { turn } from './turns.ts';

export type SimulationOverride = StateOverride & Readonly<{ movePrecompileTo?: Address }>;
export type SimulationBlock = Readonly<{
  block: BlockOverride & Readonly<{ beaconRoot?: Hash; blobBaseFee?: bigint; withdrawals?: readonly Withdrawal[] }>;
  state: Readonly<Record<Address, SimulationOverride>>;
  calls: readonly SimulationCall[];
}>;
export type Simulation = Readonly<{
  blocks: readonly SimulationBlock[];
  traceTransfers: boolean;
  /** Checks nonces, fees and funds as a block would. */
  validation: boolean;
}>;
/** `block.hash` is that of the header; `stateRoot` is zero where the chain moved on while the simulation ran. */
export type SimulatedBlock = Readonly<{ block: BlockRecord; calls: readonly SimulatedCall[] }>;

/** What the simulation is given beside a machine and a place. */
export type SimulationShop = Readonly<{
  chainId: bigint;
  /** Gas of the whole simulation. */
  gas: bigint;
  /** Root of the place's state with these changes, or null when it cannot be computed any more. */
  root(changes: StateChanges, height: number): Promise<Uint8Array | null>;
  /** What follows the calls of a block on chains that have it (requests of EIP-7685). */
  conclude?(machine: Machine, header: Header): Promise<void>;
}>;

type Planned = SimulationBlock & Readonly<{ number: number; timestamp: number }>;

const NOTHING: SimulationBlock = { block: {}, state: {}, calls: [] };

/** Numbers and times of all blocks; gaps in the numbers are filled with empty blocks. */
function plan(base: Header, blocks: readonly SimulationBlock[]): Result<readonly Planned[]> {
  const planned: Planned[] = [];
  let { number, timestamp } = base;
  let calls = 0;
  for (const one of blocks) {
    const wanted = one.block.number ?? number + 1;
    if (wanted <= number)
      return fault('simulatedBlockNumber', `block numbers must be in order: ${wanted} <= ${number}`);
    calls += one.calls.length;
    if (wanted - base.number > SIMULATED_BLOCKS || calls > SIMULATED_CALLS) {
      return fault('simulatedLimit', calls > SIMULATED_CALLS ? 'too many calls' : 'too many blocks');
    }
    for (; number + 1 < wanted; number++) {
      timestamp += SIMULATED_INTERVAL;
      planned.push({ ...NOTHING, number: number + 1, timestamp });
    }
    const time = one.block.timestamp ?? timestamp + SIMULATED_INTERVAL;
    if (time <= timestamp)
      return fault('simulatedTimestamp', `block timestamps must be in order: ${time} <= ${timestamp}`);
    planned.push({ ...one, number: wanted, timestamp: time });
    number = wanted;
    timestamp = time;
  }
  return success(planned);
}

/** Runs the blocks one after another. Faults: codes `simulated...` for what eth_simulateV1 has codes of its own for. */
export async function simulate(
  machine: Machine,
  place: Place,
  simulation: Simulation,
  shop: SimulationShop,
): Promise<Result<readonly SimulatedBlock[]>> {
  const planned = plan(place.header, simulation.blocks);
  if (!planned.ok) return planned;
  machine.journal.reset(place.source);
  const gas = { used: 0n, left: shop.gas };
  const done: SimulatedBlock[] = [];
  const precompiles = new Map(machine.evm.precompiles);
  let parent: Readonly<{ header: Header; hash: Hash }> = { header: place.header, hash: headerHash(place.header) };
  try {
    for (const one of planned.value) {
      machine.ancestors.set(parent.header.number, parent.hash);
      gas.used = 0n;
      const simulated = await simulateBlock(machine, one, parent, simulation, shop, gas);
      if (!simulated.ok) return simulated;
      done.push(simulated.value);
      parent = simulated.value.block;
      restore(machine, precompiles);
      await turn();
    }
  } finally {
    restore(machine, precompiles);
    machine.ancestors.clear();
  }
  return success(done);
}

type Precompiles = Machine['evm']['precompiles'];

function restore(machine: Machine, precompiles: Precompiles): void {
  machine.evm.precompiles.clear();
  for (const [address, run] of precompiles) machine.evm.precompiles.set(address, run);
}

function draft(one: Planned, parent: Readonly<{ header: Header; hash: Hash }>, validation: boolean): Header {
  const { block } = one;
  return {
    parentHash: parent.hash,
    ommersHash: EMPTY_OMMERS,
    coinbase: block.coinbase ?? parent.header.coinbase,
    stateRoot: ZERO_HASH,
    transactionsRoot: ZERO_HASH,
    receiptsRoot: ZERO_HASH,
    logsBloom: ZERO_BLOOM,
    difficulty: 0n,
    number: one.number,
    gasLimit: block.gasLimit ?? parent.header.gasLimit,
    gasUsed: 0n,
    timestamp: one.timestamp,
    extraData: '0x',
    mixHash: block.mixHash ?? ZERO_HASH,
    nonce: ZERO_NONCE,
    // Without validation calls need not pay, so the fee is nothing unless it was asked for.
    baseFeePerGas: block.baseFeePerGas ?? (validation ? nextBaseFee(parent.header) : 0n),
    withdrawalsRoot: ZERO_HASH,
    blobGasUsed: 0n,
    excessBlobGas: 0n,
    parentBeaconBlockRoot: block.beaconRoot ?? ZERO_HASH,
    requestsHash: EMPTY_REQUESTS,
  };
}

async function simulateBlock(
  machine: Machine,
  one: Planned,
  parent: Readonly<{ header: Header; hash: Hash }>,
  simulation: Simulation,
  shop: SimulationShop,
  gas: { used: bigint; left: bigint },
): Promise<Result<SimulatedBlock>> {
  const { journal } = machine;
  const header = draft(one, parent, simulation.validation);
  const precompiles = [...machine.evm.precompiles.keys()];
  const refused = await override(machine, one.state);
  if (refused !== null) return refused;
  await writeParentHash(journal, header.number, fromHex(header.parentHash));
  await writeBeaconRoot(journal, header.timestamp, fromHex(header.parentBeaconBlockRoot));
  const { validation, traceTransfers } = simulation;
  const blobBaseFee = one.block.blobBaseFee ?? 1n;
  const run = {
    machine,
    header,
    chainId: shop.chainId,
    validation,
    traceTransfers,
    blobBaseFee,
    gas,
    logs: { next: 0 },
    precompiles,
  };
  const calls: SimulatedCall[] = [];
  for (const call of one.calls) {
    const ran = await simulateCall(run, call);
    if (!ran.ok) return ran;
    calls.push(ran.value);
  }
  await shop.conclude?.(machine, header);
  const withdrawals = one.block.withdrawals ?? [];
  await payWithdrawals(journal, withdrawals);
  const stateRoot = await shop.root(journal.changes(), header.number);
  return success({ block: sealed(header, calls, withdrawals, stateRoot), calls });
}

function sealed(
  header: Header,
  calls: readonly SimulatedCall[],
  withdrawals: readonly Withdrawal[],
  stateRoot: Uint8Array | null,
): BlockRecord {
  const blooms = calls.map((call) => logsBloom(call.ownLogs));
  let cumulative = 0n;
  const receipts = calls.map((call, i) => {
    cumulative += call.gasUsed;
    const status = call.failure === null ? 1 : 0;
    return receiptRlp(call.transaction.type, status, cumulative, present(blooms[i], 'bloom'), call.ownLogs);
  });
  const transactions = calls.map((call) => call.transaction);
  return blockRecord({
    header: {
      ...header,
      gasUsed: cumulative,
      blobGasUsed: calls.reduce((sum, call) => sum + call.blobGas, 0n),
      stateRoot: stateRoot === null ? ZERO_HASH : toHex(stateRoot),
      transactionsRoot: toHex(listRoot(transactions.map((tx) => tx.raw))),
      receiptsRoot: toHex(listRoot(receipts)),
      withdrawalsRoot: toHex(listRoot(withdrawals.map(withdrawalRlp))),
      logsBloom: toHex(orBlooms(blooms)),
    },
    transactions,
    withdrawals,
    parentCertificate: new Uint8Array(0),
    vrfProof: new Uint8Array(0),
  });
}

/** State overrides; a precompile may be moved away first, and any override of its address takes it away. */
async function override(machine: Machine, state: SimulationBlock['state']): Promise<Fault | null> {
  const { precompiles } = machine.evm;
  const entries = Object.entries(state) as [Address, SimulationOverride][];
  const moved = new Set<Address>();
  for (const [address, wanted] of entries) {
    const run = precompiles.get(address.slice(2));
    const target = wanted.movePrecompileTo;
    if (target !== undefined) {
      if (run === undefined) return fault('notPrecompile', `account ${address} is not a precompile`);
      if (state[target] !== undefined || moved.has(target)) {
        return fault('simulatedMove', `account ${target} is already overridden`);
      }
      moved.add(target);
      precompiles.set(target.slice(2), run);
    }
    if (run !== undefined) precompiles.delete(address.slice(2));
    await overrideState(machine.journal, { [address]: wanted });
    // The overrides count as a transaction of their own: storage gas starts from what they wrote.
    machine.journal.originalStorageCache.clear();
  }
  return null;
}
