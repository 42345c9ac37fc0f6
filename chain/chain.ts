// Owns an open chain: it wires store, state, pool and EVM together behind chain/api.ts and keeps the head.
// One queue orders execution, commits and everything that must see a whole block.

import { fromHex, toHex } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { type Fault, type Result, fault, success, unwrap } from '../base/fault.ts';
import type {
  AccountProof,
  BlockRecord,
  Candidate,
  Chain,
  Genesis,
  Hash,
  HeadEvent,
  OpenOptions,
  SystemHooks,
} from './api.ts';
import type { ChainLimits } from './limits.ts';
import { createCalls, retrace } from './calls.ts';
import { createCommon, createMachine, type Machine } from './evm.ts';
import { checkGenesis } from './genesis.ts';
import { HeadState } from './head-state.ts';
import { nextBaseFee } from './header.ts';
import { blockRows, headRow, Ledger, type Totals } from './ledger.ts';
import { CALL_EXECUTORS, CALLS_WAITING, DEFAULT_LIMITS, HELD_BLOCKS, HELD_BYTES, PROOFS_WAITING } from './limits.ts';
import { queryLogs } from './log-query.ts';
import type { Place } from './message.ts';
import { openLedger } from './open.ts';
import { type HeightMark, openHeightMark } from './height-mark.ts';
import { createPool, type OwnedPool } from './pool.ts';
import { build, FIRST_PACE, type Pace, type Parent, type Prepared, validate, type Workshop } from './producer.ts';
import { proofAt } from './proof.ts';
import { createLender, createQueue, type Lender, type Queue } from './queue.ts';
import { decodeRlp } from './rlp.ts';
import { type SimulationShop, simulate } from './simulation.ts';
import { forgetRows, sealState } from './state-root.ts';
import { stateView } from './state-view.ts';
import { openStore, type Row, type Store } from './store.ts';
import { REWARDS_ADDRESS } from './system/api.ts';
import { systemHooks } from './system/hooks.ts';
import { parseChallengeParameters } from './system/challenge-parameters.ts';
import { parseLearningParameters } from './system/parameters.ts';
import { BLOCK_TURNS, CALL_TURNS } from './turns.ts';

/** Ancestors BLOCKHASH can name. */
const KNOWN_HASHES = 256;

/** The moving part of an open chain. */
type Core = {
  readonly genesis: Genesis;
  readonly genesisHash: Hash;
  readonly limits: ChainLimits;
  readonly system: SystemHooks;
  readonly store: Store;
  readonly heightMark: HeightMark;
  readonly state: HeadState;
  readonly ledger: Ledger;
  readonly pool: OwnedPool;
  readonly queue: Queue;
  /** Writes that blocks wait for, and what is told after them, in order. */
  readonly notes: Queue;
  readonly machines: Lender<Machine>;
  readonly machine: Machine;
  readonly hashes: Map<number, Hash>;
  readonly candidates: Map<Hash, Candidate>;
  readonly listeners: Set<(event: HeadEvent) => void>;
  /** Blocks that are not on the disk yet. */
  readonly unheard: HeadEvent[];
  readonly pace: Pace;
  head: BlockRecord;
  totals: Totals;
  oldestState: number;
  closed: boolean;
  proofs: number;
};

/** The system contracts of a genesis file. Faults name the parameter. */
async function genesisSystem(genesis: Genesis): Promise<Result<SystemHooks>> {
  const parameters = parseLearningParameters(genesis.learning);
  if (!parameters.ok) return parameters;
  const challenges = genesis.challenges === undefined ? success(null) : parseChallengeParameters(genesis.challenges);
  if (!challenges.ok) return challenges;
  const hooks = await systemHooks(parameters.value, genesis.authorities, challenges.value);
  if (!hooks.ok) return hooks;
  const { calls } = hooks.value;
  // Going on with rewards that are paid but not marked would pay them again.
  const strict: SystemHooks['calls'] = (number, paid) =>
    calls(number, paid).map((call) => (call.to === REWARDS_ADDRESS ? { ...call, mustSucceed: true } : call));
  return success({ ...hooks.value, calls: strict });
}

/** Opens (or makes) the chain of a genesis file in a folder. Faults: database missing, locked, damaged, of another network. */
export async function openChain(options: OpenOptions): Promise<Result<Chain>> {
  const limits: ChainLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const genesis = checkGenesis(options.genesis);
  if (!genesis.ok) return genesis;
  const system = options.system === undefined ? await genesisSystem(options.genesis) : success(options.system);
  if (!system.ok) return system;
  const store = await openStore(options.directory, options.create, () => {});
  if (!store.ok) return store;
  try {
    const opened = await openLedger(store.value, options.genesis, system.value, limits, options.firstSetHash);
    const heightMark = opened.ok ? await openHeightMark(options.directory) : opened;
    const lost = opened.ok && heightMark.ok ? lostBlocks(opened.value.mark.number, heightMark.value) : null;
    if (opened.ok && heightMark.ok && lost === null) {
      return success(
        chainOf(await createCore(options.genesis, limits, system.value, store.value, heightMark.value, opened.value)),
      );
    }
    if (heightMark.ok) await heightMark.value.close();
    await store.value.close();
    return lost ?? (opened.ok ? (heightMark as Fault) : opened);
  } catch (error) {
    await store.value.close();
    if (store.value.failure === null) throw error;
    return fault('databaseCorrupt', `${store.value.failure.message}; delete the database and sync again`);
  }
}

function lostBlocks(head: number, mark: HeightMark): Fault | null {
  if (mark.height === null || mark.height <= head) return null;
  return fault(
    'databaseCorrupt',
    `database: it ends at block ${head}, but block ${mark.height} was committed; delete it and sync again (keys and votes are kept elsewhere)`,
    { head, committed: mark.height },
  );
}

async function createCore(
  genesis: Genesis,
  limits: ChainLimits,
  system: SystemHooks,
  store: Store,
  heightMark: HeightMark,
  { mark, genesisHash }: Extract<Awaited<ReturnType<typeof openLedger>>, { ok: true }>['value'],
): Promise<Core> {
  const common = createCommon(genesis.chainId);
  const hashes = new Map<number, Hash>();
  const make = (turns = CALL_TURNS) =>
    createMachine(
      common,
      (number) => hashes.get(number) ?? null,
      () => store.failure,
      turns,
    );
  const stored = new Ledger(store, limits, () => mark.number);
  const head = present(stored.block(mark.number), 'head block');
  for (let n = Math.max(0, mark.number - KNOWN_HASHES); n <= mark.number; n++)
    hashes.set(n, present(stored.hash(n), 'hash'));
  const state = new HeadState(store, mark.number, fromHex(head.header.stateRoot), limits);
  const pool = createPool(
    BigInt(genesis.chainId),
    {
      account: (address) => state.account(address),
      code: (hash) => state.code(hash),
      gasLimit: () => core.head.header.gasLimit,
    },
    limits,
  );
  const core: Core = {
    genesis,
    genesisHash,
    limits,
    system,
    store,
    heightMark,
    state,
    pool,
    hashes,
    head,
    ledger: new Ledger(store, limits, () => core.head.header.number),
    queue: createQueue(),
    notes: createQueue(),
    machine: await make(BLOCK_TURNS),
    machines: createLender(CALL_EXECUTORS, () => make()),
    candidates: new Map(),
    listeners: new Set(),
    unheard: [],
    pace: { ...FIRST_PACE },
    totals: mark.totals,
    oldestState: mark.oldestState,
    closed: false,
    proofs: 0,
  };
  return core;
}

function place(core: Core, number: number): Result<Place> {
  const head = core.head.header.number;
  if (!Number.isSafeInteger(number) || number < 0 || number > head) {
    return fault('unknownBlock', `block ${number} is not known; the head is ${head}`, { number, head });
  }
  const oldest = oldestState(core, head);
  if (number < oldest) {
    return fault('stateUnavailable', `historical state not available: block ${number}, kept from ${oldest}`, {
      number,
      oldest,
    });
  }
  return success({ header: present(core.ledger.header(number), 'header'), source: core.state.at(number) });
}

function oldestState(core: Core, head: number): number {
  return Math.max(core.oldestState, head - core.limits.stateWindow, 0);
}

function workshop(core: Core): Workshop {
  const { machine, state, store, limits, system } = core;
  const here = core.state.at(core.head.header.number);
  return {
    machine,
    state,
    store,
    limits,
    system,
    pooled: (hash) => core.pool.get(hash),
    candidate: (hash) => core.candidates.get(hash) ?? null,
    pace: core.pace,
    read: async (address, slot) => here.storage(address, toHex(slot)),
  };
}

const parentOf = (core: Core): Parent => ({ block: core.head, totals: core.totals });

function keep(core: Core, candidate: Result<Candidate>): Result<Candidate> {
  if (!candidate.ok) return candidate;
  core.candidates.set(candidate.value.hash, candidate.value);
  if (core.candidates.size > core.limits.candidates) {
    for (const oldest of core.candidates.keys()) {
      core.candidates.delete(oldest);
      break;
    }
  }
  return candidate;
}

function usable(core: Core): Result<null> {
  if (core.closed) return fault('closed', 'the chain is closed');
  if (core.store.failure !== null) return fault('poisoned', core.store.failure.message);
  return success(null);
}

/** Writes the block, or with `isHeld` only takes it in: it is written, and heard of, with the next block that is not held. */
async function commit(core: Core, candidate: Candidate, certificate: Uint8Array, isHeld: boolean): Promise<void> {
  unwrap(usable(core));
  const { block } = candidate;
  const prepared = candidate.changes as Prepared;
  check(prepared.parentHash === core.head.hash, 'commit: the candidate does not stand on the head');
  check(certificate.length <= core.limits.certificateBytes, 'commit: certificate over the limit');
  const { number } = block.header;
  const oldest = oldestState(core, number);
  const mark = { number, hash: block.hash, oldestState: oldest, totals: prepared.totals };
  const rows: Row[] = [
    ...prepared.sealed.rows,
    ...blockRows(block, candidate.wire, certificate, prepared.outcomes, candidate.systemLogs),
  ];
  const stale = number - core.limits.stateWindow;
  if (stale > 0) rows.push(...forgetRows(core.store, stale, (bytes) => decodeRlp(bytes) as Uint8Array[]));
  rows.push(headRow(mark));
  const write = isHeld ? async () => core.store.hold(rows) : () => core.store.write(rows);
  await core.state.advance(write, prepared.sealed.advance);
  core.head = block;
  core.totals = prepared.totals;
  core.oldestState = oldest;
  core.hashes.set(number, block.hash);
  core.hashes.delete(number - KNOWN_HASHES - 1);
  core.candidates.clear();
  core.ledger.remember(block, candidate.receipts);
  core.pool.revalidate(block.transactions);
  core.unheard.push({ block, receipts: candidate.receipts, systemLogs: candidate.systemLogs, certificate });
  if (!isHeld) await core.notes.run(() => tell(core, core.unheard.splice(0)));
}

/** After a write: the height is noted beside the database, and listeners hear of the blocks. */
async function tell(core: Core, events: readonly HeadEvent[]): Promise<void> {
  const last = events.at(-1);
  if (last === undefined) return;
  await core.heightMark.record(last.block.header.number).catch((error: unknown) => {
    throw core.store.fail(new Error('database: committed-height does not take a write', { cause: error }));
  });
  for (const event of events) for (const listener of core.listeners) listener(event);
}

/** Beside the execution queue: blocks may be executed, and held, while those before them are written. */
function settle(core: Core): Promise<void> {
  return core.notes.run(async () => {
    const events = core.unheard.splice(0);
    await core.store.write([]);
    await tell(core, events);
  });
}

function reads(
  core: Core,
): Pick<
  Chain,
  | 'header'
  | 'numberOf'
  | 'blockByNumber'
  | 'blockByHash'
  | 'wireBlock'
  | 'certificate'
  | 'receipts'
  | 'receipt'
  | 'transaction'
  | 'systemLogs'
  | 'addressHistory'
  | 'logs'
  | 'statistics'
  | 'state'
  | 'proof'
> {
  const { ledger } = core;
  return {
    header: async (number) => ledger.header(number),
    numberOf: async (hash) => ledger.numberOf(hash),
    blockByNumber: async (number) => ledger.block(number),
    async blockByHash(hash) {
      const number = ledger.numberOf(hash);
      return number === null ? null : ledger.block(number);
    },
    wireBlock: async (number) => ledger.wire(number),
    certificate: async (number) => ledger.certificate(number),
    receipts: async (number) => ledger.receipts(number),
    receipt: async (hash) => ledger.receipt(hash),
    transaction: async (hash) => ledger.transaction(hash),
    systemLogs: async (number) => ledger.systemLogs(number),
    addressHistory: (address, page) => ledger.history(address, page),
    logs: (filter) => queryLogs(ledger, core.head.header.number, filter, core.limits),
    statistics: () => ({
      height: core.head.header.number,
      transactions: core.totals.transactions,
      minted: core.totals.minted,
      burned: core.totals.burned,
    }),
    state(number) {
      const at = place(core, number);
      return at.ok ? success(stateView(number, at.value.source, () => core.head.header.number === number)) : at;
    },
    async proof(address, slots, number) {
      if (slots.length > core.limits.proofSlots)
        return fault('tooManySlots', `too many slots: ${slots.length}, limit ${core.limits.proofSlots}`);
      if (core.proofs >= PROOFS_WAITING) return fault('busy', 'too many proofs are waiting; try again');
      core.proofs++;
      return core.queue
        .run(async (): Promise<Result<AccountProof>> => {
          const head = core.head.header.number;
          if (number !== 'head' && number !== head) {
            return fault('stateUnavailable', `proofs are served at the head ${head} only`, { number, head });
          }
          return success(proofAt(core.state, address, slots));
        })
        .finally(() => core.proofs--);
    },
  };
}

/** Transactions the EVM library refused would be tried in every block; a nonce that does not fit yet may fit later. */
function dropInvalid(core: Core, candidate: Candidate): void {
  for (const { hash, fault: reason } of candidate.left) {
    if (reason.code === 'invalidTransaction' && !reason.message.includes('nonce')) core.pool.remove(hash);
  }
}

function writes(
  core: Core,
): Pick<Chain, 'nextBaseFee' | 'buildBlock' | 'validateBlock' | 'candidate' | 'commit' | 'settle' | 'importBlock'> {
  const judge: Chain['validateBlock'] = async (wire, test, senders) => {
    const ready = usable(core);
    return ready.ok ? keep(core, await validate(workshop(core), parentOf(core), wire, test, senders)) : ready;
  };
  return {
    nextBaseFee: () => nextBaseFee(core.head.header),
    buildBlock: (request) =>
      core.queue.run(async () => {
        const ready = usable(core);
        if (!ready.ok) return ready;
        const built = await build(workshop(core), parentOf(core), request);
        if (built.ok) dropInvalid(core, built.value);
        return keep(core, built);
      }),
    validateBlock: (wire, test, senders) => core.queue.run(() => judge(wire, test, senders)),
    candidate: (hash) => core.candidates.get(hash) ?? null,
    commit: (candidate, certificate, options) =>
      core.queue.run(async () => {
        const isHeld =
          options?.isHeld === true && core.store.heldBytes < HELD_BYTES && core.unheard.length < HELD_BLOCKS;
        await commit(core, candidate, certificate, isHeld);
      }),
    settle: () => settle(core),
    importBlock: (wire, certificate, test) =>
      core.queue.run(async () => {
        const candidate = await judge(wire, test);
        if (!candidate.ok) return candidate;
        await commit(core, candidate.value, certificate, false);
        return success(candidate.value.block);
      }),
  };
}

function chainOf(core: Core): Chain {
  return {
    chainId: BigInt(core.genesis.chainId),
    genesis: core.genesis,
    genesisHash: core.genesisHash,
    limits: core.limits,
    pool: core.pool,
    head: () => core.head,
    ...reads(core),
    ...writes(core),
    ...createCalls({ machines: core.machines, limits: core.limits, place: (number) => place(core, number) }),
    simulate: (simulation, number) => simulateOn(core, simulation, number),
    traceTransaction: (hash, trace) => traceTransaction(core, hash, trace),
    onHead(listener) {
      core.listeners.add(listener);
      return () => core.listeners.delete(listener);
    },
    failure: () => core.store.failure,
    async close() {
      if (core.closed) return;
      core.closed = true;
      await core.queue.idle();
      if (core.store.failure === null) await settle(core);
      await core.heightMark.close();
      await core.store.close();
    },
  };
}

async function simulateOn(
  core: Core,
  simulation: Parameters<Chain['simulate']>[0],
  number: number,
): ReturnType<Chain['simulate']> {
  if (core.machines.waiting() >= CALLS_WAITING) return fault('busy', 'too many calls are waiting; try again');
  const at = place(core, number);
  if (!at.ok) return at;
  const shop: SimulationShop = {
    chainId: BigInt(core.genesis.chainId),
    gas: core.limits.callGas,
    // Tries stand on the head only, and change under a commit.
    root: (changes, height) =>
      core.queue.run(async () =>
        core.head.header.number === number
          ? (await sealState(core.state, core.store, changes, height)).advance.root
          : null,
      ),
  };
  return core.machines.lend((machine) => simulate(machine, at.value, simulation, shop));
}

async function traceTransaction(
  core: Core,
  hash: Hash,
  trace: Parameters<Chain['traceTransaction']>[1],
): ReturnType<Chain['traceTransaction']> {
  const record = core.ledger.transaction(hash);
  if (record === null) return fault('unknownTransaction', 'transaction not found', { hash });
  const parent = place(core, record.blockNumber - 1);
  if (!parent.ok) return parent;
  const block = present(core.ledger.block(record.blockNumber), 'block');
  const calls = core.system.calls(record.blockNumber, block.withdrawals.length);
  const contents = { header: block.header, calls, withdrawals: block.withdrawals };
  return core.machines.lend((machine) => retrace(machine, parent.value.source, block, contents, record.index, trace));
}
