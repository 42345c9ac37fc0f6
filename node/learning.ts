// Owns the learning side of a node: dataset, engine threads, model, history and the agents, moved on by each committed block.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Hex, toHex } from '../base/bytes.ts';
import { type Result, unwrap } from '../base/fault.ts';
import type { BlobStore } from '../bridge/blob-store.ts';
import { blobIdBytes } from '../bridge/blob-id.ts';
import type { Chain, HeadEvent } from '../chain/api.ts';
import type { SystemEvent } from '../chain/system/events.ts';
import { readCurrentRound, readModel } from '../chain/system/views.ts';
import type { PeerNode } from '../net/api.ts';
import type { ChatModel } from '../rpc/ports.ts';
import { manifestText } from '../trainer/dataset.ts';
import { type Tokenizer, parseTokenizer } from '../trainer/tokenizer.ts';
import { type AuditorAgent, type AuditorAgentOptions, createAuditorAgent } from './auditor-agent.ts';
import { type BlobExchange, createBlobExchange } from './blob-exchange.ts';
import { type ChallengeAgent, createChallengeAgent } from './challenge-agent.ts';
import { createChatModel } from './chat-model.ts';
import { type ClaimWatch, createClaimWatch } from './claim-watch.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { EngineThreadData } from './engine-calls.ts';
import { type EngineThread, startEngineThread } from './engine-thread.ts';
import type { Identity } from './identity.ts';
import { type LearningHistory, createLearningHistory, replayHistory } from './learning-history.ts';
import { BLOB_RETRY_MS, ENGINE_NICE } from './limits.ts';
import type { Logger } from './logger.ts';
import { type ModelKeeper, createModelKeeper } from './model-keeper.ts';
import { HELD_OUT_SEQUENCES, type NetworkDefinition } from './network-definition.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import { type StateFetch, type StateShelf, fetchStates, serveStates } from './state-exchange.ts';
import { roundEvents, systemEvents } from './system-events.ts';
import { systemView } from './system-view.ts';
import { type TrainerAgent, type TrainerAgentOptions, createTrainerAgent } from './trainer-agent.ts';
import { type Walrus, openWalrus } from './walrus.ts';

export type LearningOptions = Readonly<{
  config: Config;
  definition: NetworkDefinition;
  identity: Identity;
  isAuthority: boolean;
  chain: Chain;
  peerNode: PeerNode;
  store: BlobStore;
  sender: ProtocolSender;
  clock: Clock;
  log: Logger;
  /** False while peers are blocks ahead: a node that catches up only follows, it does not act. */
  caughtUp: () => boolean;
  /** Ends waiting for peers when the node stops first. */
  signal: AbortSignal;
  /** For trying attacks in tests: changes what this trainer commits. */
  tamper?: TrainerAgentOptions['tamper'];
  /** For the same: changes what this authority says. */
  tamperVerdicts?: AuditorAgentOptions['tamperVerdicts'];
  tamperJudgement?: AuditorAgentOptions['tamperJudgement'];
  /** For trying attacks in tests: another reply of this trainer to a challenge. */
  tamperDispute?: EngineThread['dispute'];
}>;

export type Learning = Readonly<{
  history: LearningHistory;
  keeper: ModelKeeper;
  trainer: TrainerAgent | null;
  auditor: AuditorAgent | null;
  challenges: ChallengeAgent | null;
  chat: ChatModel;
  /** Which engine the node's threads run on, and why. */
  engine: string;
  stop(): Promise<void>;
}>;

/** Copies blobs that lie beside the genesis file into the node's store. */
async function importBlobs(genesisFile: string, store: BlobStore, hashes: readonly Hex[]): Promise<void> {
  for (const hash of hashes) {
    if (store.find(hash) !== null) continue;
    const name = hash.slice(2);
    const file = join(dirname(genesisFile), 'blobs', 'blobs', name.slice(0, 2), name);
    if (existsSync(file)) unwrap(await store.store(new Uint8Array(readFileSync(file))));
  }
}

type Wanted = Readonly<{ blobId: Hex | null; sha256: Hex; size: number }>;

/** A blob this node must have; asks peers, then Walrus, until one gives it or the node stops. */
async function need(
  blobs: BlobExchange,
  walrus: Walrus | null,
  wanted: Wanted,
  options: LearningOptions,
): Promise<Uint8Array> {
  for (;;) {
    const bytes = await blobs.fetch(wanted.sha256, wanted.size);
    if (bytes.ok) return bytes.value;
    const fetched = await walrus?.fetch(wanted);
    if (fetched?.ok === true) {
      unwrap(await options.store.store(fetched.value));
      return fetched.value;
    }
    if (options.signal.aborted) throw new Error('stopped');
    options.log.info('waiting for a blob from peers', {
      hash: wanted.sha256,
      size: wanted.size,
      reason: bytes.message,
    });
    await options.clock.sleep(BLOB_RETRY_MS);
  }
}

/** What all engine threads are started with; each has its own nice value. */
function threadData(options: LearningOptions, dataset: Uint8Array): Omit<EngineThreadData, 'nice'> {
  const shared = new SharedArrayBuffer(dataset.length);
  new Uint8Array(shared).set(dataset);
  return {
    backend: options.config.engine,
    threads: options.config.engine_threads,
    memoryMb: options.config.engine_memory_mb,
    training: options.definition.training,
    rules: options.definition.rules,
    manifestText: manifestText(options.definition.manifest),
    dataset: shared,
    heldOutSequences: HELD_OUT_SEQUENCES,
  };
}

function shelfOf({ config, definition, identity }: LearningOptions): StateShelf {
  return { dataDir: config.data_dir, trainer: identity.address, steps: definition.rules.steps };
}

type Agents = Readonly<{
  keeper: ModelKeeper;
  trainer: TrainerAgent | null;
  auditor: AuditorAgent | null;
  challenges: ChallengeAgent | null;
  claims: ClaimWatch | null;
  threads: readonly EngineThread[];
  chatThread: EngineThread;
  /** Plans the steps this node trains and audits; throws when they do not fit into memory. */
  plan(): Promise<void>;
}>;

function createAgents(
  options: LearningOptions,
  data: Omit<EngineThreadData, 'nice'>,
  blobs: BlobExchange,
  walrus: Walrus | null,
): Agents {
  const { config, definition, identity, isAuthority, chain, peerNode, store, sender, clock, log } = options;
  const start = (job: keyof typeof ENGINE_NICE) => startEngineThread(job, { ...data, nice: ENGINE_NICE[job] }, log);
  const chatThread = start('chat');
  const auditThread = isAuthority ? start('audit') : null;
  const trainThread = config.training_enabled ? start('train') : null;
  // A thread of its own, begun when it is needed: an answer must not wait for the end of a round.
  const disputeThread = config.training_enabled ? start('dispute') : null;
  const thread = auditThread ?? chatThread;
  const keeper = createModelKeeper({ directory: join(config.data_dir, 'models'), definition, thread, blobs, log });
  const shelf = shelfOf(options);
  const statesOf: StateFetch = (owner, round, step) => fetchStates(peerNode, shelf, clock, owner, round, step);
  const trainer =
    trainThread === null
      ? null
      : createTrainerAgent({
          chain,
          definition,
          address: identity.address,
          secretKey: identity.secretKey,
          canaries: config.canaries,
          capacity: config.capacity,
          stake: config.stake,
          dataDir: config.data_dir,
          thread: trainThread,
          keeper,
          sender,
          fetchStates: statesOf,
          storeUpdate: async (bytes) => {
            unwrap(await store.store(bytes));
          },
          clock,
          log,
          ...(options.tamper === undefined ? {} : { tamper: options.tamper }),
        });
  // Begun when there is something to challenge.
  const watches = isAuthority || config.claim_checks > 0;
  const challengeThread = watches ? start('challenge') : null;
  const claims =
    challengeThread === null
      ? null
      : createClaimWatch({
          chain,
          definition,
          address: identity.address,
          secretKey: identity.secretKey,
          dataDir: config.data_dir,
          budget: config.challenge_budget,
          checkRounds: config.claim_checks,
          thread: challengeThread,
          keeper,
          fetchStates: statesOf,
          sender,
          clock,
          log,
        });
  const auditor = !isAuthority
    ? null
    : createAuditorAgent({
        chain,
        definition,
        address: identity.address,
        secretKey: identity.secretKey,
        dataDir: config.data_dir,
        thread,
        keeper,
        sender,
        blobs,
        fetchStates: statesOf,
        storeCheckpoint: async (bytes) => {
          const { blobId, sha256, size } = unwrap(await store.put(bytes));
          walrus?.publish(bytes);
          return { blobId: toHex(blobIdBytes(blobId)), sha256, size };
        },
        onFalse: (claim, start) => claims?.found(claim, start),
        log,
        ...(options.tamperVerdicts === undefined ? {} : { tamperVerdicts: options.tamperVerdicts }),
        ...(options.tamperJudgement === undefined ? {} : { tamperJudgement: options.tamperJudgement }),
      });
  const challenges =
    disputeThread === null || definition.genesis.challenges === undefined
      ? null
      : createChallengeAgent({
          chain,
          address: identity.address,
          dataDir: config.data_dir,
          rules: definition.rules,
          thread:
            options.tamperDispute === undefined ? disputeThread : { ...disputeThread, dispute: options.tamperDispute },
          keeper,
          sender,
          log,
        });
  return {
    keeper,
    trainer,
    auditor,
    challenges,
    claims,
    chatThread,
    threads: [chatThread, auditThread, trainThread, disputeThread, challengeThread].flatMap((each) => each ?? []),
    async plan() {
      const told = async (planned: EngineThread, capacity: number) => {
        return { plan: (await planned.plan(capacity)).note, priority: (await planned.hello()).priority };
      };
      if (auditThread !== null) log.info('audits', await told(auditThread, 1));
      if (trainThread !== null) log.info('training', await told(trainThread, config.capacity));
    },
  };
}

/** Starts learning; resolves once dataset and model are here and chat can answer. */
export async function startLearning(options: LearningOptions): Promise<Learning> {
  const { config, definition, chain, peerNode, store, sender, clock, log } = options;
  const { manifest } = definition;
  const blobs = createBlobExchange(
    peerNode,
    {
      get: async (hash) => {
        const bytes = await store.get(hash);
        return bytes.ok ? bytes.value : null;
      },
      put: async (bytes) => unwrap(await store.store(bytes)),
    },
    clock,
    log,
  );
  const walrus = openWalrus(config, log);
  serveStates(peerNode, shelfOf(options));
  await importBlobs(config.genesis_file, store, [manifest.file.sha256, manifest.tokenizer.sha256]);
  const dataset = await need(blobs, walrus, manifest.file, options);
  const tokenizerText = await need(blobs, walrus, manifest.tokenizer, options);
  const tokenizer: Tokenizer = unwrap(parseTokenizer(Buffer.from(tokenizerText).toString('utf8')));
  const agents = createAgents(options, threadData(options, dataset), blobs, walrus);
  const history = createLearningHistory(definition.parameters.steps);
  await replayHistory(chain, history);
  await agents.keeper.follow(await readModel(systemView(chain)));
  const chat = await createChatModel({
    chain,
    definition,
    keeper: agents.keeper,
    thread: agents.chatThread,
    tokenizer,
    log,
  });
  const { description } = await agents.chatThread.hello();
  await agents.plan();
  const heads = followHeads({ chain, history, agents, sender, caughtUp: options.caughtUp, log });
  await heads.catchUp();
  return {
    history,
    keeper: agents.keeper,
    trainer: agents.trainer,
    auditor: agents.auditor,
    challenges: agents.challenges,
    chat,
    engine: description,
    async stop() {
      heads.stop();
      agents.trainer?.stop();
      agents.auditor?.stop();
      agents.claims?.stop();
      await Promise.all([...agents.threads.map((thread) => thread.close()), walrus?.stop()]);
    },
  };
}

/** Every node says what is challenged, so that nobody's game goes unseen. */
function watchChallenges(events: readonly SystemEvent[], log: Logger): void {
  for (const event of events) {
    if (event.kind === 'challenged') {
      const { id, round, trainer, challenger, step } = event;
      log.info('claim challenged', { id, round, trainer, challenger, step });
    }
    if (event.kind === 'closed')
      log.info('challenge closed', { id: event.id, state: event.state, reason: event.reason });
  }
}

type HeadFollower = Readonly<{ catchUp(): Promise<void>; stop(): void }>;

/** Hands each committed block to history and agents, in order; agents only act on the newest. */
function followHeads(parts: {
  chain: Chain;
  history: LearningHistory;
  agents: Agents;
  sender: ProtocolSender;
  caughtUp: () => boolean;
  log: Logger;
}): HeadFollower {
  const { chain, history, agents, sender, caughtUp, log } = parts;
  const { keeper, trainer, auditor, challenges, claims } = agents;
  // Blocks have come since the history was read back, and the head may be of a run that is told of later: what lies between is
  // read before the first block that is told of from now on.
  let queue: Promise<void> = replayHistory(chain, history);
  let waiting = 0;

  async function act(event: HeadEvent | null, events: ReturnType<typeof systemEvents>): Promise<void> {
    const view = systemView(chain);
    const [record, model] = await Promise.all([readCurrentRound(view), readModel(view)]);
    if (event !== null) await sender.onHead(event);
    await auditor?.onHead(record, view, events);
    if (record?.phase === 'attesting' || record?.phase === 'settling') void keeper.next(record, view);
    if (model.root !== keeper.current().record.root) {
      // A node that has not finished its own sum waits for it; the checkpoint is the way of a node that came late.
      if (record !== null && record.round === model.round) await keeper.next(record, view);
      const followed = await keeper.follow(model);
      if (!followed.ok) log.warn('model not here yet', { root: model.root, reason: followed.message });
    }
    await trainer?.onHead(record, view);
    await challenges?.onHead(view, events);
    await claims?.onHead(record, view);
  }

  async function handle(event: HeadEvent): Promise<void> {
    const events = systemEvents(event);
    history.apply(event.block.header.number, events);
    watchChallenges(events, log);
    waiting--;
    if (waiting === 0 && caughtUp()) await act(event, events);
    else {
      await sender.onHead(event);
      await auditor?.onHead(null, systemView(chain), events);
    }
  }

  const unsubscribe = chain.onHead((event) => {
    waiting++;
    queue = queue
      .then(() => handle(event))
      .catch((error: unknown) => log.error('head not followed', { reason: String(error) }));
  });
  return {
    /** What happened until now, in all rounds and in the running one. */
    async catchUp() {
      await queue;
      const record = await readCurrentRound(systemView(chain));
      if (record === null || record.frozenBlock === 0) return;
      const events: Result<ReturnType<typeof systemEvents>> = await roundEvents(
        chain,
        record.frozenBlock,
        chain.head().header.number,
      );
      if (!events.ok) {
        log.warn('running round not read back', { reason: events.message });
        return;
      }
      const running = events.value.filter((event) => 'round' in event && event.round === record.round);
      queue = queue
        .then(() => (caughtUp() ? act(null, running) : auditor?.onHead(null, systemView(chain), running)))
        .catch((error: unknown) => log.error('catching up', { reason: String(error) }));
    },
    stop: unsubscribe,
  };
}
