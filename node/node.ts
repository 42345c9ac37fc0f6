// Owns a node's life: builds the parts in order, wires them, and stops them in the opposite order. What the parts do is theirs.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Hex, fromHex, toHex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { signDigest } from '../base/keys.ts';
import { type BlobStore, openBlobStore } from '../bridge/blob-store.ts';
import type { Chain } from '../chain/api.ts';
import { openChain } from '../chain/chain.ts';
import { parseGenesis } from '../chain/genesis.ts';
import type { Evidence } from '../consensus/evidence.ts';
import { validatorSetHash } from '../consensus/validator-set.ts';
import type { ChainStatus, PeerNode } from '../net/api.ts';
import { nodeBindingDigest, nodePublicKey } from '../net/node-binding.ts';
import { createPeerNode } from '../net/peer-node.ts';
import { type RpcServer, startRpcServer } from '../rpc/server.ts';
import { type AuthoritySets, createAuthoritySets } from './authority-sets.ts';
import { fetchBlocks, serveBlocks } from './block-exchange.ts';
import { type Clock, systemClock } from './clock.ts';
import { createClockCheck } from './clock-check.ts';
import type { Config } from './config.ts';
import { createConsensusBlocks } from './consensus-blocks.ts';
import { ConsensusDriver } from './consensus-driver.ts';
import type { CertifiedBlock } from './consensus-options.ts';
import { createEvidenceAgent } from './evidence-agent.ts';
import { type Identity, openIdentity } from './identity.ts';
import { type Learning, type LearningOptions, startLearning } from './learning.ts';
import { createLearningPort } from './learning-port.ts';
import { readSecretFile } from './keystore.ts';
import { EXAMINE_LEAST, GENESIS_FILE_BYTES, PASSWORD_FILE_BYTES } from './limits.ts';
import { keepKnownPeers, readKnownPeers } from './known-peers.ts';
import type { Logger } from './logger.ts';
import { type NetworkDefinition, networkDefinition } from './network-definition.ts';
import { isCaughtUp } from './peer-heights.ts';
import { createProtocolSender } from './protocol-sender.ts';
import { type RpcPortsOptions, createRpcPorts } from './rpc-ports.ts';
import { type ProofThread, createProofThread } from './proof-thread.ts';
import { createSenderRecovery } from './sender-recovery.ts';
import { systemView } from './system-view.ts';
import { createTransactionGossip } from './transaction-gossip.ts';
import { createTwinCheck } from './twin-check.ts';

export type NodeOptions = Readonly<{
  config: Config;
  log: Logger;
  clock?: Clock;
  /** Called when the node cannot go on: storage failed, or an invariant broke. */
  onFatal: (error: Error) => void;
  tamper?: LearningOptions['tamper'];
  tamperVerdicts?: LearningOptions['tamperVerdicts'];
  tamperJudgement?: LearningOptions['tamperJudgement'];
  tamperDispute?: LearningOptions['tamperDispute'];
}>;

export type RunningNode = Readonly<{
  address: Hex;
  chain: Chain;
  peerNode: PeerNode;
  driver: ConsensusDriver;
  rpc: RpcServer;
  /** Null until dataset and model are here. */
  learning: () => Learning | null;
  /** Resolves when learning runs; rejects when it cannot. */
  learningStarted: Promise<Learning>;
  stop(): Promise<void>;
}>;

/** Reads and checks the genesis file a config names. */
export function readGenesis(path: string): Result<NetworkDefinition> {
  if (path === '')
    return fault(
      'genesis',
      'genesis_file: not set; name the network to join with --genesis-file, or make one with create-network',
    );
  if (!existsSync(path)) return fault('genesis', `genesis_file: ${path} does not exist`);
  const text = readFileSync(path, 'utf8');
  if (text.length > GENESIS_FILE_BYTES) return fault('genesis', `genesis_file: over ${GENESIS_FILE_BYTES} bytes`);
  const genesis = parseGenesis(text);
  return genesis.ok ? networkDefinition(genesis.value) : genesis;
}

function statusOf(chain: Chain, config: Config, isAuthority: boolean): ChainStatus {
  const { hash, header } = chain.head();
  const role = isAuthority ? 'authority' : config.training_enabled ? 'trainer' : 'regular';
  return { height: header.number, headHash: hash, role, apiUrl: '' };
}

async function startPeers(
  config: Config,
  chain: Chain,
  identity: Identity,
  isAuthority: boolean,
  clock: Clock,
  log: Logger,
): Promise<Result<PeerNode>> {
  const genesisHash = fromHex(chain.genesisHash);
  const digest = nodeBindingDigest(Number(chain.chainId), genesisHash, nodePublicKey(identity.peerSeed));
  const peerNode = await createPeerNode({
    identityKeyBytes: identity.peerSeed,
    listenHost: config.host,
    port: config.port,
    bootNodes: config.boot_nodes,
    knownAddresses: readKnownPeers(config.data_dir, log),
    ...(config.announce_addresses.length > 0 ? { announce: config.announce_addresses } : {}),
    chainId: Number(chain.chainId),
    genesisHash,
    status: statusOf(chain, config, isAuthority),
    ...(isAuthority || config.training_enabled
      ? { binding: { address: identity.address, signature: signDigest(digest, identity.secretKey) } }
      : {}),
    now: clock.monotonic,
    wallClock: clock.now,
    log: (level, message, fields) => log[level](message, fields),
  });
  if (peerNode.ok || peerNode.code !== 'port-in-use') return peerNode;
  return fault('port', `port: ${config.host}:${config.port} is in use; choose another with --port`);
}

function createDriver(parts: {
  config: Config;
  chain: Chain;
  sets: AuthoritySets;
  peerNode: PeerNode;
  proofs: ProofThread;
  identity: Identity;
  isAuthority: boolean;
  clock: Clock;
  log: Logger;
  onEvidence: (evidence: Evidence) => void;
  onFatal: (error: Error) => void;
}): ConsensusDriver {
  const { config, chain, sets, peerNode, proofs, identity, isAuthority, clock, log } = parts;
  const twins = createTwinCheck({
    address: identity.address,
    isFresh: () =>
      config.boot_nodes.length === 0 ||
      (chain.head().header.number === 0 && peerNode.peers().every(({ status }) => status.height === 0)),
    hasSigned: () => driver.status().hasSigned,
    clock,
    log,
    refuse: parts.onFatal,
  });
  if (isAuthority) peerNode.onPeer(twins.onPeer);
  const driver: ConsensusDriver = new ConsensusDriver({
    chainId: chain.chainId,
    genesisHash: fromHex(chain.genesisHash),
    key: isAuthority ? identity.secretKey : null,
    directory: join(config.data_dir, 'consensus'),
    mayCreateSignState: config.may_create_sign_state,
    validators: (height) => sets.addresses(height),
    blocks: createConsensusBlocks({ chain, sets, author: isAuthority ? identity : null, clock, log }),
    network: {
      broadcast: (bytes) => {
        void peerNode.publish('consensus', bytes).then((sent) => {
          if (!sent.ok && sent.code !== 'stopped') log.warn('consensus message not sent', { reason: sent.message });
        });
      },
      onMessage: (receive) => peerNode.subscribe('consensus', receive),
    },
    sync: {
      peers: () => peerNode.peers().map(({ peer, status }) => ({ id: peer, height: status.height })),
      fetch: (peer, first, count) => fetchBlocks(peerNode, peer, first, count),
      examine: (run) => examineRun(proofs, chain, sets, run),
      punish: (peer, reason) => peerNode.ban(peer, reason),
    },
    clock,
    log,
    onHeight: ({ height, round, intervalMs, finalityMs, synced }) =>
      log.debug('height', { height, round, intervalMs, finalityMs, synced }),
    maySign: twins.maySign,
    isClockOff: createClockCheck(peerNode.peers, () => driver.status().validators, log),
    onEvidence: parts.onEvidence,
    onFatal: parts.onFatal,
  });
  return driver;
}

/** A run of blocks with what the proof thread finds of each, while this thread executes the run before. */
async function examineRun(
  proofs: ProofThread,
  chain: Chain,
  sets: AuthoritySets,
  blocks: readonly CertifiedBlock[],
): Promise<readonly CertifiedBlock[]> {
  if (blocks.length < EXAMINE_LEAST) return blocks;
  const { members } = await sets.at(chain.head().header.number + 1);
  const keys = new Map(members.map(({ address, publicKey }) => [address, publicKey]));
  const { blockBytes, transactionBytes, certificateBytes, vrfProofBytes, withdrawalsPerBlock } = chain.limits;
  const bounds = { blockBytes, transactionBytes, certificateBytes, vrfProofBytes, withdrawalsPerBlock };
  const domain = { chainId: chain.chainId, genesisHash: fromHex(chain.genesisHash) };
  return proofs.examine(blocks, { bounds, domain, keys });
}

type OpenedParts = Readonly<{ definition: NetworkDefinition; identity: Identity; chain: Chain; store: BlobStore }>;

/** Opens what lies on disk: genesis, keys, chain, blobs. Nothing is left open when one is refused. */
async function openParts(config: Config): Promise<Result<OpenedParts>> {
  const definition = readGenesis(config.genesis_file);
  if (!definition.ok) return definition;
  const identity = await openIdentity(config);
  if (!identity.ok) return identity;
  const { genesis } = definition.value;
  const firstSetHash = toHex(validatorSetHash(genesis.authorities.map(({ address }) => address)));
  const chain = await openChain({ directory: join(config.data_dir, 'chain'), genesis, create: true, firstSetHash });
  if (!chain.ok) return chain;
  const store = await openBlobStore({ directory: join(config.data_dir, 'blobs') });
  if (!store.ok) {
    await chain.value.close();
    return store;
  }
  return success({ definition: definition.value, identity: identity.value, chain: chain.value, store: store.value });
}

/** Starts a node. A Fault says what stands in the way; everything opened until then is closed again. */
export async function startNode(options: NodeOptions): Promise<Result<RunningNode>> {
  const refusal = checkTogether(options.config);
  if (refusal !== null) return refusal;
  const opened = await openParts(options.config);
  if (!opened.ok) return opened;
  const { chain, store } = opened.value;
  const closers: (() => Promise<unknown>)[] = [() => chain.close(), () => store.stop()];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) {
      await close().catch((error: unknown) => options.log.error('stopping', { reason: String(error) }));
    }
  };
  const running = await startParts(options, opened.value, closers);
  if (running.ok) return success({ ...running.value, stop });
  await stop();
  return running;
}

/** Whether the node votes: it must be asked to, and its key must be in the set. */
async function mayVote(
  { config, log }: NodeOptions,
  sets: AuthoritySets,
  { chain, identity }: OpenedParts,
): Promise<boolean> {
  if (!config.is_authority) return false;
  const members = await sets.addresses(chain.head().header.number + 1);
  if (members.includes(identity.address)) return true;
  log.warn('is_authority is set, but this key is in no authority set: it follows without voting', {
    address: identity.address,
  });
  return false;
}

/** Starts everything that runs, in order; each part's end is added to `closers`. */
async function startParts(
  options: NodeOptions,
  opened: OpenedParts,
  closers: (() => Promise<unknown>)[],
): Promise<Result<Omit<RunningNode, 'stop'>>> {
  const { config, log, onFatal } = options;
  const { definition, identity, chain, store } = opened;
  const clock = options.clock ?? systemClock;
  const sets = createAuthoritySets(chain);
  const isAuthority = await mayVote(options, sets, opened);
  const peers = await startPeers(config, chain, identity, isAuthority, clock, log);
  if (!peers.ok) return peers;
  const peerNode = peers.value;
  closers.push(() => peerNode.stop());
  closers.push(keepKnownPeers(config.data_dir, peerNode, clock, log));
  serveBlocks(peerNode, chain);
  const proofs = createProofThread(log);
  closers.push(() => proofs.stop());
  const gossip = createTransactionGossip(chain, peerNode, clock, createSenderRecovery(proofs));
  const tellPeers = async (): Promise<void> => {
    peerNode.setStatus(statusOf(chain, config, isAuthority));
    peerNode.setAuthorities(await sets.addresses(chain.head().header.number + 1));
  };
  await tellPeers();
  chain.onHead(() => void tellPeers());

  const { address, secretKey } = identity;
  const sender = createProtocolSender({ chain, address, secretKey, submit: gossip.submit, log });
  const evidence = createEvidenceAgent({ address, setOf: sets.at, view: () => systemView(chain), sender, log });
  chain.onHead(({ block }) => {
    evidence.onHead(block.header.number).catch((error: unknown) => log.error('evidence', { reason: String(error) }));
  });
  const onEvidence = isAuthority ? evidence.report : (): void => undefined;
  const driver = createDriver({
    config,
    chain,
    sets,
    peerNode,
    proofs,
    identity,
    isAuthority,
    clock,
    log,
    onEvidence,
    onFatal,
  });
  let learning: Learning | null = null;
  const shared = { config, definition, identity, isAuthority, chain, store, peerNode, clock, log };
  const rpc = await serveApi({ ...shared, driver, learning: () => learning, gossip });
  if (!rpc.ok) return rpc;
  closers.push(() => rpc.value.close());
  const started = await driver.start();
  if (!started.ok) return started;
  closers.push(() => driver.stop());

  const caughtUp = (): boolean =>
    isCaughtUp(
      chain.head().header.number,
      peerNode.peers(),
      driver.status().validators.length,
      config.boot_nodes.length,
    );
  const { tamperVerdicts, tamperJudgement, tamperDispute } = options;
  const tamper = {
    ...(options.tamper === undefined ? {} : { tamper: options.tamper }),
    ...(tamperVerdicts === undefined ? {} : { tamperVerdicts }),
    ...(tamperJudgement === undefined ? {} : { tamperJudgement }),
    ...(tamperDispute === undefined ? {} : { tamperDispute }),
  };
  const abort = new AbortController();
  const learningStarted = startLearning({
    ...shared,
    ...tamper,
    sender,
    caughtUp,
    signal: abort.signal,
  }).then((begun) => {
    learning = begun;
    log.info('learning', { engine: begun.engine, training: config.training_enabled });
    return begun;
  });
  learningStarted.catch((error: unknown) => log.error('learning not started', { reason: String(error) }));
  closers.push(async () => {
    abort.abort();
    await (await learningStarted.catch(() => null))?.stop();
  });
  return success({ address, chain, peerNode, driver, rpc: rpc.value, learning: () => learning, learningStarted });
}

const LOOPBACK = ['127.0.0.1', 'localhost', '::1'];

function checkTogether(config: Config): ReturnType<typeof fault> | null {
  if (config.wallet_rpc && !LOOPBACK.includes(config.api_host)) {
    return fault(
      'config',
      `wallet_rpc: refused with api_host ${config.api_host}; a node that signs for its callers listens on loopback only`,
    );
  }
  return null;
}

async function serveApi(
  parts: Omit<RpcPortsOptions, 'learningPort'> & Readonly<{ definition: NetworkDefinition }>,
): Promise<Result<RpcServer>> {
  const { config, definition, chain, learning } = parts;
  const ports = createRpcPorts({ ...parts, learningPort: createLearningPort({ chain, definition, learning }) });
  const key =
    config.api_key_file === ''
      ? success(null)
      : readSecretFile(config.api_key_file, PASSWORD_FILE_BYTES, 'api_key_file');
  if (!key.ok) return key;
  try {
    return success(
      await startRpcServer({
        chain,
        ports,
        host: config.api_host,
        port: config.api_port,
        allowedHosts: config.allowed_hosts,
        apiKey: key.value?.trim() ?? null,
      }),
    );
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const why = code === 'EADDRINUSE' ? 'is in use; choose another with --api-port' : `cannot be used (${code})`;
    return fault('api-port', `api_port: ${config.api_host}:${config.api_port} ${why}`);
  }
}
