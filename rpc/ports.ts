// Owns what the server needs from the rest of the node, as function types: node/ passes implementations in.
// Not the chain (chain/api.ts, used directly) and nothing of HTTP.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Hex } from '../base/bytes.ts';
import type { Result } from '../base/fault.ts';

/** Time as the server needs it; only node/clock.ts makes one. */
export type Clock = Readonly<{
  /** Unix time in milliseconds. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start, never going back. */
  monotonicMs(): number;
}>;

/** Random bytes for identifiers of answers, filters and subscriptions; tests pass a seeded source. */
export type Entropy = (length: number) => Uint8Array;

/** What this node says of itself. */
export type NodeInfo = Readonly<{
  nodeId: string;
  /** Address of the node's own account. */
  address: Hex;
  isAuthority: boolean;
  trainingEnabled: boolean;
  /** Software name and version, e.g. "pol-node/0.1.0". */
  version: string;
  /** Unix milliseconds at which the node started. */
  startedMs: number;
  /** Null once the node is at the head it knows of. */
  syncing: Readonly<{ startingBlock: number; currentBlock: number; highestBlock: number }> | null;
  /** Plain statements of what is limited or at risk, e.g. "3 authorities tolerate no failure". */
  warnings: readonly string[];
}>;

type PeerInfo = Readonly<{
  peerId: string;
  /** Multiaddr of the connection. */
  address: string;
  direction: 'inbound' | 'outbound';
  /** The peer's own name, height and role where it told them. */
  nodeId: string | null;
  height: number | null;
  isAuthority: boolean;
}>;

type AuthorityInfo = Readonly<{
  address: Hex;
  /** False when its vote was missing from the newest certificate. */
  active: boolean;
}>;

type NetworkInfo = Readonly<{
  chainId: bigint;
  genesisHash: Hex;
  /** This node's own multiaddrs. */
  listen: readonly string[];
  peers: readonly PeerInfo[];
  authorities: readonly AuthorityInfo[];
  /** Votes that finalise a block: floor(2n/3) + 1. */
  quorum: number;
}>;

export type LearningPhase = 'idle' | 'training' | 'auditing' | 'attesting' | 'finalised';

/** One point of the loss curve: losses are mean nats per token. */
export type LossPoint = Readonly<{ round: number; heldOutLoss: number | null; trainingLoss: number | null }>;

export type LearningStatus = Readonly<{
  /** The round under way, or null before the first. */
  round: number | null;
  phase: LearningPhase;
  /** Block at which the round opened. */
  openedAt: number | null;
  /** Inner steps this node has done in the round, and the round's length; null when this node does not train. */
  step: number | null;
  stepsPerRound: number;
  acceptedRounds: number;
  /** Full passes over the dataset that accepted rounds have consumed, rounded down. */
  epoch: number;
  /** Held-out loss of the newest accepted model; null before the first evaluation. */
  heldOutLoss: number | null;
  /** Training loss of the newest inner step seen here. */
  trainingLoss: number | null;
  tokensPerSecond: number | null;
  tokensTrained: number;
  /** Merkle root of the newest accepted model's state. */
  modelRoot: Hex;
  parameters: number;
  /** True while this node is computing a round. */
  training: boolean;
  /** Oldest first, at most `maxLossPoints` of rpc/limits.ts. */
  lossCurve: readonly LossPoint[];
}>;

/** What the audits said of one trainer's work in one round. */
export type Contribution = Readonly<{
  trainer: Hex;
  state: 'working' | 'committed' | 'accepted' | 'rejected' | 'slashed' | 'absent' | 'canary';
  /** Root over the trace the trainer committed to. */
  traceRoot: Hex | null;
  updateRoot: Hex | null;
  /** Passed: not drawn for execution. */
  verdicts: readonly Readonly<{
    authority: Hex;
    verdict: 'valid' | 'invalid' | 'unavailable' | 'passed';
    step: number | null;
  }>[];
  /** Minted for it, in the smallest unit; null while undecided. */
  reward: bigint | null;
  slashed: bigint;
}>;

/** A stored blob: Walrus blob id, SHA-256 and size in bytes. */
type BlobReference = Readonly<{ blobId: string; sha256: Hex; size: number }>;

export type RoundInfo = Readonly<{
  round: number;
  phase: LearningPhase;
  openedAt: number;
  closedAt: number | null;
  seed: Hex;
  baseRoot: Hex;
  modelRoot: Hex | null;
  /** Whether the model moved, was kept by the held-out gate, or the round came to nothing. */
  outcome: 'pending' | 'moved' | 'reverted' | 'void' | 'expired';
  checkpoint: BlobReference | null;
  heldOutLoss: number | null;
  trainingLoss: number | null;
  minted: bigint;
  contributions: readonly Contribution[];
}>;

export type TrainerInfo = Readonly<{
  address: Hex;
  stake: bigint;
  capacity: number;
  active: boolean;
  roundsAccepted: number;
  roundsRejected: number;
  earned: bigint;
  slashed: bigint;
}>;

/** All amounts in the smallest unit; genesis + minted - burned = circulating. */
type SupplyInfo = Readonly<{ genesis: bigint; minted: bigint; burned: bigint; vesting: bigint; staked: bigint }>;

/** Reads of the learning protocol's state. Every answer is of one block's state, the head's. */
export type LearningPort = Readonly<{
  status(): Promise<LearningStatus>;
  /** Newest first, from `before` (exclusive; null: from the newest), at most `limit`. */
  rounds(before: number | null, limit: number): Promise<readonly RoundInfo[]>;
  round(round: number): Promise<RoundInfo | null>;
  trainers(): Promise<readonly TrainerInfo[]>;
  supply(): Promise<SupplyInfo>;
}>;

export type ChatMessage = Readonly<{ role: 'system' | 'user' | 'assistant'; content: string }>;

export type Prompt =
  | Readonly<{ kind: 'chat'; messages: readonly ChatMessage[] }>
  | Readonly<{ kind: 'text'; text: string }>
  | Readonly<{ kind: 'tokens'; tokens: readonly number[] }>;

/** One generation; already checked and bounded by rpc/openai/. */
export type GenerateRequest = Readonly<{
  prompt: Prompt;
  /** At least 1. */
  maxTokens: number;
  /** 0 (greedy) to 2. */
  temperature: number;
  /** Above 0 to 1. */
  topP: number;
  /** 0 to 2^32 - 1. The same seed and model root give the same tokens on every node. */
  seed: number;
  /** -2 to 2 each. */
  frequencyPenalty: number;
  presencePenalty: number;
  /** Token id to an addend of its logit, -100 to 100. */
  logitBias: ReadonlyMap<number, number>;
  /** How many alternatives each token event carries, 0 to 20. */
  topLogprobs: number;
}>;

/** A token, its bytes (which may end in the middle of a UTF-8 character) and its natural-log probability. */
export type TokenLogprob = Readonly<{ id: number; bytes: Uint8Array; logprob: number }>;

/** `start` comes first, then tokens, then `end` last; an end-of-text token is not a token event. */
export type GenerateEvent =
  | Readonly<{ kind: 'start'; modelRoot: Hex; promptTokens: number }>
  | (Readonly<{ kind: 'token' }> & TokenLogprob & Readonly<{ top: readonly TokenLogprob[] }>)
  | Readonly<{ kind: 'end'; reason: 'stop' | 'length' }>;

export type ChatModelInfo = Readonly<{
  modelRoot: Hex;
  /** Round whose acceptance made this model; null for the initial weights, which nothing has trained yet. */
  round: number | null;
  /** Unix seconds of the block that accepted it, or of genesis. */
  created: number;
  /** Prompt and answer together, in tokens. */
  contextTokens: number;
  vocabularySize: number;
  parameters: number;
}>;

/** The newest accepted model, as something that answers. Throws and rejections are internal errors. */
export type ChatModel = Readonly<{
  info(): ChatModelInfo;
  /** Tokens of the prompt as the model will see it, template included. */
  countTokens(prompt: Prompt): Promise<number>;
  /** Ends early, without an `end` event, once `signal` is aborted. The caller runs a bounded number at a time. */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<GenerateEvent>;
}>;

/** An account this node may sign with when asked over RPC: development networks on loopback only. */
export type Wallet = Readonly<{
  addresses(): readonly Hex[];
  /** Fills nonce, gas and fees where absent, signs, and returns the raw transaction. */
  signTransaction(request: WalletTransaction): Promise<Result<Uint8Array>>;
}>;

export type WalletTransaction = Readonly<{
  from: Hex;
  to: Hex | null;
  value: bigint;
  data: Uint8Array;
  gas: bigint | null;
  nonce: bigint | null;
  maxFeePerGas: bigint | null;
  maxPriorityFeePerGas: bigint | null;
}>;

/** Takes a request under /walrus (the embedded blob store, in the shapes of Walrus' own API); false when it does not know the path. */
type BlobRouter = (request: IncomingMessage, response: ServerResponse) => Promise<boolean>;

/** All that node/ passes in beside the open chain, whose onHead and pool.onAdded feed the subscriptions. */
export type RpcPorts = Readonly<{
  clock: Clock;
  entropy: Entropy;
  node(): NodeInfo;
  network(): NetworkInfo;
  learning: LearningPort;
  /** Null on a node that serves no model, or while it is loading one; read anew for each request. */
  chat: ChatModel | null;
  /** Adds to the pool and spreads it: the hash, or the pool's refusal. */
  submitTransaction(raw: Uint8Array): Promise<Result<Hex>>;
  /** Called before several are submitted one after the other: what they have in common is done once. */
  prepareTransactions?(transactions: readonly Uint8Array[]): Promise<void>;
  /** Null everywhere but on development networks whose API listens on loopback: node/ refuses any other combination. */
  wallet: Wallet | null;
  blobs: BlobRouter | null;
  /** Further lines of the Prometheus text format (version 0.0.4) from other parts; may be empty. */
  metrics(): string;
  /** One event of the server for the node's log: a stable code and fields, never bodies or keys. */
  log(event: string, fields: Readonly<Record<string, string | number | boolean>>): void;
}>;
