// Owns a bare world for the system contracts' tests: their genesis accounts in an EVM, blocks with system calls and
// withdrawals, and the invariants that must hold after every call. No consensus, no storage, no fees.

import { Common, Hardfork, Mainnet } from '@ethereumjs/common';
import { type EVM, createEVM } from '@ethereumjs/evm';
import { Account, bigIntToBytes, createAddressFromString, setLengthLeft } from '@ethereumjs/util';
import { type Hex, concat, fromHex, toHex, u64be } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { keccak256 } from '../../base/hash.ts';
import { addressOf, secp256k1 } from '../../base/keys.ts';
import { ONE_GWEI } from '../../base/units.ts';
import type { SystemHooks } from '../../chain/api.ts';
import { type StateSource, StateJournal } from '../../chain/state-journal.ts';
import { decodeReturn, decodeRevert, encodeCall, trainersAbi } from '../../chain/system/abi.ts';
import {
  type Authority,
  BONDS_ADDRESS,
  type ContractCall,
  LEAF_BYTES,
  LEARNING_ROUNDS_ADDRESS,
  type LearningParameters,
  MAX_WITHDRAWALS_PER_BLOCK,
  REWARDS_ADDRESS,
  type RoundPhase,
  SYSTEM_ADDRESS,
  TRAINERS_ADDRESS,
  type ViewCall,
} from '../../chain/system/api.ts';
import { type SystemEvent, decodeSystemLog } from '../../chain/system/events.ts';
import type { ChallengeParameters } from '../../chain/system/challenge-parameters.ts';
import { CHALLENGES_ADDRESS } from '../../chain/system/challenges.ts';
import { EVIDENCE_ADDRESS, type ProvenEvent, decodeProven } from '../../chain/system/evidence.ts';
import { systemHooks } from '../../chain/system/hooks.ts';
import { defaultLearningParameters } from '../../chain/system/parameters.ts';
import {
  readBond,
  readBondTotals,
  readCurrentRound,
  readPendingRewards,
  readPendingRewardsFromStorage,
  readRound,
  readSupply,
  readTrainer,
} from '../../chain/system/views.ts';

/** A 32-byte hash that only its name decides. */
export const hashOf = (name: string): Hex => toHex(keccak256(new Uint8Array(Buffer.from(name))));

/** A real key pair from a number. */
export function authorityOf(index: number): Authority {
  const publicKey = secp256k1.publicKey(keccak256(u64be(index + 1)));
  const prefix = Uint8Array.of(2 + (present(publicKey[64], 'y') & 1));
  return { address: addressOf(publicKey), publicKey: toHex(concat(prefix, publicKey.subarray(1, 33))) };
}

export const accountOf = (name: string): Hex => toHex(keccak256(new Uint8Array(Buffer.from(name))).subarray(12));

/** Small numbers, so that a test reaches every deadline in a few blocks. */
export const testParameters: LearningParameters = {
  ...defaultLearningParameters,
  minTrainers: 3,
  trainBlocks: 10,
  auditBlocks: 8,
  graceBlocks: 3,
  revealBlocks: 8,
  canaryBlocks: 0,
  disputeBlocks: 4,
  attestBlocks: 6,
  recheckWindowBlocks: 30,
  unbondingBlocks: 5,
  steps: 4,
  samplesPerAudit: 2,
  missLimit: 2,
  vestingRounds: 4,
  kernelSpec: hashOf('kernel'),
  programHash: hashOf('program'),
  datasetHash: hashOf('dataset'),
  trainingConfigHash: hashOf('training'),
  genesisModelRoot: hashOf('genesis model'),
};

/** What a call did. `error` is the custom error's name, or the EVM's own word. */
export type Sent = Readonly<{
  error: string | null;
  args: readonly unknown[];
  gas: number;
  events: readonly SystemEvent[];
  /** What the evidence contract said, which is no event of learning. */
  proven: ProvenEvent | null;
}>;

const ORDER: readonly RoundPhase[] = [
  'idle',
  'frozen',
  'training',
  'auditing',
  'revealing',
  'judging',
  'attesting',
  'settling',
  'done',
];
const SETTLING = ORDER.indexOf('settling');

/** A state with nothing under it. */
const NOWHERE: StateSource = {
  account: () => null,
  storage: () => new Uint8Array(0),
  code: () => new Uint8Array(0),
};

/** Everything the invariants need to remember between calls. */
type Memory = {
  fundedWei: bigint;
  paidWei: bigint;
  phase: RoundPhase;
  round: number;
  pays: Set<string>;
  stakes: Map<Hex, bigint>;
  bonds: Map<Hex, bigint>;
  accounts: Set<Hex>;
};

/** `watched` false leaves the invariants to explicit calls: for worlds too large to check after every transaction. */
export async function openWorld(
  authorityCount: number,
  changes: Partial<LearningParameters> = {},
  watched: boolean = true,
  challenges: ChallengeParameters | null = null,
): Promise<World> {
  const parameters = { ...testParameters, ...changes };
  const authorities = Array.from({ length: authorityCount }, (_, index) => authorityOf(index));
  const hooks = unwrap(await systemHooks(parameters, authorities, challenges));
  const state = new StateJournal(NOWHERE);
  let genesisWei = 0n;
  const common = new Common({ chain: Mainnet, hardfork: Hardfork.Prague });
  const evm = await createEVM({ common, stateManager: state });
  for (const [address, account] of Object.entries(hooks.alloc)) {
    const at = createAddressFromString(address);
    genesisWei += account.balance;
    await state.putAccount(at, new Account(BigInt(account.nonce ?? 0), account.balance));
    await state.putCode(at, fromHex(account.code ?? '0x'));
    for (const [key, value] of Object.entries(account.storage ?? {}))
      await state.putStorage(at, fromHex(key), fromHex(value));
  }
  return new World({ authorities, parameters, hooks, state, evm, watched, genesisWei });
}

type WorldParts = Readonly<{
  authorities: readonly Authority[];
  parameters: LearningParameters;
  hooks: SystemHooks;
  state: StateJournal;
  evm: EVM;
  watched: boolean;
  genesisWei: bigint;
}>;

export class World {
  readonly authorities: readonly Authority[];
  readonly parameters: LearningParameters;
  readonly #parts: WorldParts;
  readonly #memory: Memory;
  #number = 0;

  constructor(parts: WorldParts) {
    this.#parts = parts;
    this.authorities = parts.authorities;
    this.parameters = parts.parameters;
    const contracts = [TRAINERS_ADDRESS, REWARDS_ADDRESS, LEARNING_ROUNDS_ADDRESS, BONDS_ADDRESS, CHALLENGES_ADDRESS];
    const bond = parts.parameters.authorityBondGwei * ONE_GWEI;
    const accounts = new Set([...contracts, ...parts.authorities.map(({ address }) => address)]);
    this.#memory = {
      fundedWei: parts.genesisWei,
      paidWei: 0n,
      phase: 'idle',
      round: -1,
      pays: new Set(),
      stakes: new Map(),
      bonds: new Map(parts.authorities.map(({ address }) => [address, bond])),
      accounts,
    };
  }

  number(): number {
    return this.#number;
  }

  /** Next block: markPaid and onBlock, then the withdrawals. Returns the gas and events of onBlock. */
  async block(): Promise<Sent> {
    const { hooks, state, watched } = this.#parts;
    const due = await readPendingRewards(this.view, MAX_WITHDRAWALS_PER_BLOCK);
    const read = async (address: Hex, key: Uint8Array) => state.getStorage(createAddressFromString(address), key);
    const stored = await readPendingRewardsFromStorage(read, MAX_WITHDRAWALS_PER_BLOCK);
    check(toText(due) === toText(stored), 'queue read by call and from storage differ');
    this.#number++;
    let last: Sent | null = null;
    for (const call of hooks.calls(this.#number, due.length)) {
      last = await this.#run(SYSTEM_ADDRESS, { ...call, value: 0n }, true);
      check(last.error === null, `system call failed: ${last.error}`);
      noteEvents(this.#memory, last.events);
    }
    for (const { recipient, gwei } of due) {
      await this.#credit(recipient, gwei * ONE_GWEI);
      this.#memory.paidWei += gwei * ONE_GWEI;
    }
    if (watched) {
      await this.checkInvariants();
      await checkEachBond(this.#memory, this.view);
    }
    return present(last, 'onBlock');
  }

  async blocks(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.block();
  }

  /** A transaction without fees; a refusal is returned, not thrown. */
  async send(from: Hex, call: ContractCall): Promise<Sent> {
    const sent = await this.#run(from, call, false);
    noteEvents(this.#memory, sent.events);
    if (this.#parts.watched && sent.error === null) await this.checkInvariants();
    return sent;
  }

  /** As `send`, throwing unless it succeeded. */
  async ok(from: Hex, call: ContractCall): Promise<Sent> {
    const sent = await this.send(from, call);
    check(sent.error === null, `call failed: ${sent.error}(${sent.args.join(', ')})`);
    return sent;
  }

  /** What a call would do, invariants after it included; the world stays as it is. */
  async probe(from: Hex, call: ContractCall): Promise<Sent> {
    const { state } = this.#parts;
    const memory = structuredClone(this.#memory);
    await state.checkpoint();
    try {
      const sent = await this.#run(from, call, false);
      if (sent.error !== null) return sent;
      noteEvents(memory, sent.events);
      await checkLedger(memory, this.view, this.balance);
      await checkTransition(memory, this.view);
      return sent;
    } finally {
      await state.revert();
    }
  }

  async fund(address: Hex, wei: bigint): Promise<void> {
    await this.#credit(address, wei);
    this.#memory.fundedWei += wei;
  }

  async putCode(address: Hex, code: Uint8Array): Promise<void> {
    await this.#parts.state.putCode(createAddressFromString(address), code);
  }

  readonly balance = async (address: Hex): Promise<bigint> =>
    (await this.#parts.state.getAccount(createAddressFromString(address)))?.balance ?? 0n;

  readonly view: ViewCall = async (to, data) => {
    const { evm } = this.#parts;
    await evm.journal.checkpoint();
    const { execResult } = await evm.runCall({
      to: createAddressFromString(to),
      caller: createAddressFromString(accountOf('viewer')),
      data,
      isStatic: true,
      gasLimit: 300_000_000n,
      skipNonceIncrement: true,
      block: blockContext(this.#number),
    });
    await evm.journal.revert();
    await evm.journal.cleanup();
    if (execResult.exceptionError === undefined) return execResult.returnValue;
    throw new Error(decodeRevert(execResult.returnValue)?.name ?? execResult.exceptionError.error);
  };

  /** Throws on the first invariant that does not hold. Transitions can be judged only when every call was watched. */
  async checkInvariants(): Promise<void> {
    await checkLedger(this.#memory, this.view, this.balance);
    if (this.#parts.watched) await checkTransition(this.#memory, this.view);
  }

  async #run(from: Hex, call: ContractCall, system: boolean): Promise<Sent> {
    const { evm, state } = this.#parts;
    const { execResult } = await evm.runCall({
      to: createAddressFromString(call.to),
      caller: createAddressFromString(from),
      data: call.data,
      value: call.value,
      gasLimit: 30_000_000n,
      skipNonceIncrement: system,
      block: blockContext(this.#number),
    });
    await evm.journal.cleanup();
    state.originalStorageCache.clear();
    const revert = decodeRevert(execResult.returnValue);
    const error = execResult.exceptionError === undefined ? null : (revert?.name ?? execResult.exceptionError.error);
    const logs = (execResult.logs ?? []).map(([address, topics, data]) => {
      return { address: toHex(address), topics: topics.map(toHex), data: toHex(data) };
    });
    const proven = logs.map(decodeProven).find((event) => event !== null) ?? null;
    const events = logs
      .filter(({ address }) => address !== EVIDENCE_ADDRESS)
      .map((log) => present(decodeSystemLog(log), 'system event'));
    const refund = execResult.gasRefund ?? 0n;
    const used = execResult.executionGasUsed;
    const gas = Number(used - (refund > used / 5n ? used / 5n : refund));
    const { args } = revert ?? { args: [] };
    return error === null ? { error, args, gas, events, proven } : { error, args, gas, events: [], proven: null };
  }

  async #credit(address: Hex, wei: bigint): Promise<void> {
    const { state } = this.#parts;
    const at = createAddressFromString(address);
    const account = (await state.getAccount(at)) ?? new Account();
    account.balance += wei;
    await state.putAccount(at, account);
    this.#memory.accounts.add(address);
  }
}

type BlockContext = NonNullable<Parameters<EVM['runCall']>[0]['block']>;

/** Block context with a mix that only the number decides. */
function blockContext(number: number): BlockContext {
  const coinbase = createAddressFromString(accountOf('coinbase'));
  const header = {
    number: BigInt(number),
    coinbase,
    timestamp: 1_700_000_000n + BigInt(number),
    difficulty: 0n,
    prevRandao: mixOf(number),
    gasLimit: 30_000_000n,
    baseFeePerGas: 7n,
    getBlobGasPrice: () => 1n,
    slotNumber: 0n,
  };
  return { header } as BlockContext;
}

/** prevrandao of block `number` in this world. */
export function mixOf(number: number): Uint8Array {
  return keccak256(setLengthLeft(bigIntToBytes(BigInt(number)), 32));
}

const toText = (value: unknown): string =>
  JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}` : inner));

/** One payout per (round, trainer), and a slash never above what was staked. */
function noteEvents(memory: Memory, events: readonly SystemEvent[]): void {
  for (const event of events) {
    if (event.kind === 'registered') memory.stakes.set(event.trainer, event.stakeWei);
    if (event.kind === 'stakeAdded') memory.stakes.set(event.trainer, event.stakeWei);
    if (event.kind === 'withdrawn') {
      check(memory.stakes.get(event.trainer) === event.amountWei, 'withdrawn is not the stake');
      memory.stakes.set(event.trainer, 0n);
    }
    if (event.kind === 'slashed') {
      check(event.burnedWei + event.bountyWei === memory.stakes.get(event.trainer), 'slash is not the stake');
      memory.stakes.set(event.trainer, 0n);
    }
    noteBond(memory, event);
    if (event.kind === 'vested' && event.paidGwei > 0n) {
      const key = `${event.round} ${event.trainer}`;
      check(!memory.pays.has(key), `two payouts for ${key}`);
      memory.pays.add(key);
    }
  }
}

/** A bond only grows by deposits and only shrinks by a slash or its withdrawal. */
function noteBond(memory: Memory, event: SystemEvent): void {
  if (event.kind === 'bondDeposited') {
    const before = memory.bonds.get(event.account) ?? 0n;
    check(event.bondWei === before + event.amountWei, 'a deposit is added to the bond');
    memory.bonds.set(event.account, event.bondWei);
  }
  if (event.kind === 'bondWithdrawn') {
    check(memory.bonds.get(event.account) === event.amountWei, 'withdrawn is not the bond');
    memory.bonds.set(event.account, 0n);
  }
  if (event.kind === 'bondSlashed') {
    const left = (memory.bonds.get(event.account) ?? 0n) - event.burnedWei - event.bountyWei;
    check(left >= 0n, 'a slash is more than the bond');
    memory.bonds.set(event.account, left);
  }
}

/** The bonds of events are those of the contract, and it holds exactly bonds, credits and open accusations. */
async function checkBonds(memory: Memory, view: ViewCall, held: bigint): Promise<void> {
  const bonds = [...memory.bonds.values()].reduce((sum, bond) => sum + bond, 0n);
  const totals = await readBondTotals(view);
  check(bonds === totals.bondsWei, 'totalBonds is not the sum of bonds');
  check(held === totals.bondsWei + totals.creditWei + totals.accusationsWei, 'balance of Bonds is not what it owes');
}

async function checkEachBond(memory: Memory, view: ViewCall): Promise<void> {
  for (const [account, noted] of memory.bonds)
    check((await readBond(view, account)).bondWei === noted, `bond of ${account} is not what events say`);
}

async function checkLedger(memory: Memory, view: ViewCall, balance: (address: Hex) => Promise<bigint>): Promise<void> {
  const totals = async (name: 'totalStake' | 'totalCredit' | 'totalUnvestedGwei') =>
    decodeReturn(trainersAbi, name, await view(TRAINERS_ADDRESS, encodeCall(trainersAbi, name, [])));
  let stake = 0n;
  let unvested = 0n;
  for (const [trainer, noted] of memory.stakes) {
    const record = await readTrainer(view, trainer);
    check(record.stakeWei === noted, `stake of ${trainer} is ${record.stakeWei}, events say ${noted}`);
    stake += record.stakeWei;
    unvested += record.unvestedGwei;
  }
  check(stake === (await totals('totalStake')), 'totalStake is not the sum of stakes');
  check(unvested === (await totals('totalUnvestedGwei')), 'totalUnvestedGwei is not the sum of unvested pay');
  const held = stake + (await totals('totalCredit'));
  check(held === (await balance(TRAINERS_ADDRESS)), 'balance of Trainers is not stakes + credits');
  await checkBonds(memory, view, await balance(BONDS_ADDRESS));
  const supply = await readSupply(view);
  check(supply.burnedWei === (await balance(REWARDS_ADDRESS)), 'balance of Rewards is not what was burned');
  check(supply.paidGwei * ONE_GWEI === memory.paidWei, 'paid is not what was withdrawn');
  const queued = await readPendingRewards(view, 1_000);
  const waiting = queued.reduce((sum, { gwei }) => sum + gwei, 0n);
  check(waiting === supply.pendingGwei && queued.length === supply.pendingCount, 'minted is not paid + pending');
  check((await balance(LEARNING_ROUNDS_ADDRESS)) === 0n, 'LearningRounds holds coins');
  let all = 0n;
  for (const account of memory.accounts) all += await balance(account);
  check(all === memory.fundedWei + memory.paidWei, 'balances are not genesis + minted');
}

/** Within a round phases only go forward; the next round begins only when the last is done. */
async function checkTransition(memory: Memory, view: ViewCall): Promise<void> {
  const round = await readCurrentRound(view);
  if (round === null) return;
  if (round.round === memory.round) {
    check(ORDER.indexOf(round.phase) >= ORDER.indexOf(memory.phase), `${memory.phase} went back to ${round.phase}`);
  } else {
    check(round.round === memory.round + 1 && round.phase === 'frozen', 'a round begins frozen, with the next number');
    check(
      memory.round < 0 || (await readRound(view, memory.round)).phase === 'done',
      'a round began before the last was done',
    );
  }
  memory.phase = round.phase;
  memory.round = round.round;
  const accepted = round.roster.filter(({ status }) => status === 'accepted').length;
  check(accepted === round.acceptedCount, 'acceptedCount is not the number of accepted claims');
  check(round.outcome === 'pending' || ORDER.indexOf(round.phase) >= SETTLING, 'an outcome stands before settling');
}

/** Leaves of a claim: any bytes of the right length. */
export function leavesOf(steps: number, filler: number = 7): Uint8Array {
  return new Uint8Array(steps * LEAF_BYTES).fill(filler);
}
