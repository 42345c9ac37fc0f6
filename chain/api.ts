// Owns the public types of the chain: what rpc/, node/ and tests may ask of it. No behaviour lives here.
// Hashes and addresses are lower-case 0x hex (20 or 32 bytes); amounts are bigint wei; heights and seconds are numbers.

import type { Hex } from '../base/bytes.ts';
import type { Fault, Result } from '../base/fault.ts';
import type { ChainLimits } from './limits.ts';
import type { SimulatedBlock, Simulation } from './simulation.ts';

/** 20 bytes, lower-case hex. */
export type Address = Hex;
/** 32 bytes, lower-case hex. */
export type Hash = Hex;

/** Post-merge Prague header (execution-specs, fork prague). Block hash = keccak256(rlp(header)). */
export type Header = Readonly<{
  parentHash: Hash;
  /** keccak256(rlp([])): there are no ommers. */
  ommersHash: Hash;
  /** The authority that built the block. */
  coinbase: Address;
  stateRoot: Hash;
  transactionsRoot: Hash;
  receiptsRoot: Hash;
  /** 256 bytes. */
  logsBloom: Hex;
  /** Always 0. */
  difficulty: bigint;
  number: number;
  gasLimit: bigint;
  gasUsed: bigint;
  /** Whole seconds since 1970, strictly increasing. */
  timestamp: number;
  /** Hash of the authority set of the next height. */
  extraData: Hash;
  /** Beacon mix; PREVRANDAO inside the EVM. */
  mixHash: Hash;
  /** Always 8 zero bytes. */
  nonce: Hex;
  baseFeePerGas: bigint;
  withdrawalsRoot: Hash;
  blobGasUsed: bigint;
  excessBlobGas: bigint;
  /** keccak256(parentCertificate); 32 zero bytes in blocks 0 and 1. */
  parentBeaconBlockRoot: Hash;
  requestsHash: Hash;
}>;

export type AccessListItem = Readonly<{ address: Address; storageKeys: readonly Hash[] }>;

/** EIP-7702 authorization tuple. */
export type Authorization = Readonly<{
  chainId: bigint;
  address: Address;
  nonce: bigint;
  yParity: number;
  r: bigint;
  s: bigint;
}>;

/** A signed transaction with its sender recovered. Fee fields are null where the type has none. */
export type Transaction = Readonly<{
  hash: Hash;
  /** 0 legacy, 1 EIP-2930, 2 EIP-1559, 3 EIP-4844, 4 EIP-7702. Pool and blocks refuse type 3: there is no sidecar gossip. */
  type: 0 | 1 | 2 | 3 | 4;
  /** Null for a legacy transaction without replay protection (EIP-155); the pool refuses those. */
  chainId: bigint | null;
  nonce: number;
  from: Address;
  to: Address | null;
  value: bigint;
  gas: bigint;
  /** Types 0 and 1. */
  gasPrice: bigint | null;
  /** Types 2 and 4. */
  maxFeePerGas: bigint | null;
  maxPriorityFeePerGas: bigint | null;
  input: Uint8Array;
  /** Null for type 0. */
  accessList: readonly AccessListItem[] | null;
  /** Null unless type 4. */
  authorizationList: readonly Authorization[] | null;
  /** Type 3 only. */
  maxFeePerBlobGas?: bigint;
  blobVersionedHashes?: readonly Hash[];
  /** Legacy v, or the y parity of typed transactions. */
  v: bigint;
  r: bigint;
  s: bigint;
  /** EIP-2718 bytes as signed and gossiped. */
  raw: Uint8Array;
}>;

/** EIP-4895: mints `amount` gwei to `address` at the end of the block. */
export type Withdrawal = Readonly<{ index: bigint; validatorIndex: bigint; address: Address; amount: bigint }>;

/** A log of the EVM, without its place in the chain. */
export type RawLog = Readonly<{ address: Address; topics: readonly Hash[]; data: Uint8Array }>;

/** A log with its place. `logIndex` counts through the block. */
export type Log = RawLog &
  Readonly<{
    blockNumber: number;
    blockHash: Hash;
    blockTimestamp: number;
    transactionHash: Hash;
    transactionIndex: number;
    logIndex: number;
  }>;

export type Receipt = Readonly<{
  transactionHash: Hash;
  transactionIndex: number;
  blockHash: Hash;
  blockNumber: number;
  from: Address;
  to: Address | null;
  type: number;
  /** 1 success, 0 failure. */
  status: 0 | 1;
  cumulativeGasUsed: bigint;
  gasUsed: bigint;
  effectiveGasPrice: bigint;
  contractAddress: Address | null;
  logs: readonly Log[];
  logsBloom: Hex;
  /** Type 3 only: blob gas used and its price. */
  blobGas?: Readonly<{ used: bigint; price: bigint }>;
  /** State root in place of the status: blocks before Byzantium, which only imported chains have. */
  stateRoot?: Hash;
}>;

/** A decoded block: header, body, and what stands beside them on the wire. */
export type BlockRecord = Readonly<{
  hash: Hash;
  header: Header;
  transactions: readonly Transaction[];
  withdrawals: readonly Withdrawal[];
  /** Commit certificate of the parent; empty in blocks 0 and 1. */
  parentCertificate: Uint8Array;
  /** ECVRF proof behind mixHash; empty in block 0. */
  vrfProof: Uint8Array;
  /** Bytes of rlp([header, transactions, withdrawals]), as eth_getBlock reports it. */
  size: number;
}>;

/** A transaction found in the chain. */
export type TransactionRecord = Readonly<{
  transaction: Transaction;
  blockHash: Hash;
  blockNumber: number;
  blockTimestamp: number;
  /** Index in the block. */
  index: number;
  baseFeePerGas: bigint;
}>;

/** A height; `chain.head().header.number` is the latest. */
export type BlockNumber = number;

/** `role` says how the address took part. Withdrawals have `hash` null and `index` their position. */
export type HistoryEntry = Readonly<{
  blockNumber: number;
  index: number;
  role: 'from' | 'to' | 'created' | 'log' | 'withdrawal';
  hash: Hash | null;
}>;
/** `cursor` is `next` of the page before. Without one, newest first begins below `block`, oldest first above it, if given. */
export type HistoryRequest = Readonly<{
  limit: number;
  cursor?: string;
  /** Newest first when left out. */
  order?: 'newest' | 'oldest';
  block?: BlockNumber;
}>;
/** `next` is the cursor of the following page, or null at the end. */
export type HistoryPage = Readonly<{ entries: readonly HistoryEntry[]; next: string | null }>;

/** `topics[i]` null matches anything, a list matches any of its members (eth_getLogs). Empty `addresses` matches all. */
export type LogFilter = Readonly<{
  fromBlock: number;
  toBlock: number;
  addresses: readonly Address[];
  topics: readonly (readonly Hash[] | null)[];
}>;

/** Account fields; an account that does not exist reads as all zero. */
export type AccountView = Readonly<{ balance: bigint; nonce: number; codeHash: Hash; storageRoot: Hash }>;

/** Reads of one block's post-state. Pinned: a block committed meanwhile does not show through. */
export type StateView = Readonly<{
  blockNumber: number;
  /** Null when the account does not exist. `storageRoot` is only filled at the head. */
  account(address: Address): Promise<AccountView | null>;
  balance(address: Address): Promise<bigint>;
  nonce(address: Address): Promise<number>;
  code(address: Address): Promise<Uint8Array>;
  /** 32 bytes. */
  storage(address: Address, slot: Hash): Promise<Hash>;
}>;

export type AccountProof = Readonly<{
  address: Address;
  balance: bigint;
  nonce: number;
  codeHash: Hash;
  storageHash: Hash;
  accountProof: readonly Hex[];
  storageProof: readonly Readonly<{ key: Hash; value: bigint; proof: readonly Hex[] }>[];
}>;

export type CallRequest = Readonly<{
  from?: Address;
  /** Null or absent: contract creation. */
  to?: Address | null;
  data?: Uint8Array;
  value?: bigint;
  /** Capped by limits.callGas, which is also the default. */
  gas?: bigint;
  gasPrice?: bigint;
  maxFeePerGas?: bigint;
  maxPriorityFeePerGas?: bigint;
  accessList?: readonly AccessListItem[];
  authorizationList?: readonly Authorization[];
  /** Used for the address of a creation; the account's nonce otherwise. */
  nonce?: number;
}>;

/** geth's state override set. `state` replaces the whole storage, `stateDiff` single slots. */
export type StateOverride = Readonly<{
  balance?: bigint;
  /** Up to 64 bits. */
  nonce?: bigint;
  code?: Uint8Array;
  state?: Readonly<Record<Hash, Hash>>;
  stateDiff?: Readonly<Record<Hash, Hash>>;
}>;
export type BlockOverride = Readonly<{
  number?: number;
  timestamp?: number;
  gasLimit?: bigint;
  coinbase?: Address;
  mixHash?: Hash;
  baseFeePerGas?: bigint;
}>;
export type CallOverrides = Readonly<{
  state?: Readonly<Record<Address, StateOverride>>;
  block?: BlockOverride;
}>;

/** `failure` null on success. `reverted` carries the revert bytes in `returned`; others are the EVM's words ("out of gas"). */
export type CallOutcome = Readonly<{
  returned: Uint8Array;
  gasUsed: bigint;
  failure: null | Readonly<{ kind: 'reverted' | 'exception'; message: string }>;
  logs: readonly RawLog[];
  createdAddress: Address | null;
}>;

/** One executed opcode, for struct-log tracers. Stack bottom first; `address` is the account whose storage it works on. */
export type TraceStep = Readonly<{
  address: Address;
  pc: number;
  op: string;
  gas: bigint;
  gasCost: bigint;
  depth: number;
  stack: readonly bigint[];
  memory: Uint8Array;
}>;
/** State around one traced message. Storage values are 32 bytes. */
export type StateReads = Pick<StateView, 'code' | 'storage'> &
  Readonly<{
    account(address: Address): Promise<Readonly<{ balance: bigint; nonce: number }> | null>;
    /** Accounts the message wrote to; known after it. */
    written: readonly Address[];
  }>;
/** `enter` and `exit` open and close call frames; `states` is called twice at the end, first with the state after the run. */
export type TraceListener = Readonly<{
  states?: (when: 'after' | 'before', reads: StateReads) => Promise<void>;
  step?: (step: TraceStep) => void;
  enter?: (
    frame: Readonly<{
      type: string;
      from: Address;
      to: Address | null;
      value: bigint;
      gas: bigint;
      input: Uint8Array;
      depth: number;
    }>,
  ) => void;
  exit?: (
    result: Readonly<{ gasUsed: bigint; output: Uint8Array; error: string | null; createdAddress: Address | null }>,
  ) => void;
}>;

export type BuildRequest = Readonly<{
  /** Whole seconds; must exceed the parent's. */
  timestamp: number;
  /** Coinbase. */
  author: Address;
  mix: Hash;
  vrfProof: Uint8Array;
  /** Empty for block 1. */
  parentCertificate: Uint8Array;
  nextSetHash: Hash;
  /** In the order to try; ones that do not fit or are invalid are left out and named in the candidate. */
  transactions: readonly Transaction[];
  /** Stop adding transactions once `now()` has moved by `budgetMs`; without it gas alone bounds the block. */
  budget?: Readonly<{ budgetMs: number; now: () => number }>;
}>;

/** Judges what the chain cannot: mix, VRF proof, author, next set, parent certificate. Null accepts. */
export type BlockCheck = (block: BlockRecord, parent: Header) => Fault | null | Promise<Fault | null>;

/** An executed block that is not on disk. Its state lives in journals; any number may be held and dropped. */
export type Candidate = Readonly<{
  hash: Hash;
  block: BlockRecord;
  /** encodeBlock(block). */
  wire: Uint8Array;
  receipts: readonly Receipt[];
  /** Logs of the system calls at the block's start; in no receipt, hence in no root (as EIP-4788 calls). */
  systemLogs: readonly RawLog[];
  /** Left out by buildBlock, with the reason; always empty from validateBlock. */
  left: readonly Readonly<{ hash: Hash; fault: Fault }>[];
  /** Private to the chain. */
  readonly changes: unknown;
}>;

/** What listeners hear after a block's batch is synced. */
export type HeadEvent = Readonly<{
  block: BlockRecord;
  receipts: readonly Receipt[];
  systemLogs: readonly RawLog[];
  certificate: Uint8Array;
}>;

export type ChainStatistics = Readonly<{
  height: number;
  transactions: number;
  /** Wei minted by withdrawals since genesis. */
  minted: bigint;
  /** Wei burned as base fee since genesis. */
  burned: bigint;
}>;

/** An open chain: one database handle, one execution queue. */
export type Chain = Readonly<{
  chainId: bigint;
  genesis: Genesis;
  genesisHash: Hash;
  limits: ChainLimits;
  pool: TransactionPool;

  /** Newest committed block, from memory. */
  head(): BlockRecord;
  header(number: BlockNumber): Promise<Header | null>;
  /** Height of a committed block. */
  numberOf(hash: Hash): Promise<BlockNumber | null>;
  blockByNumber(number: BlockNumber): Promise<BlockRecord | null>;
  blockByHash(hash: Hash): Promise<BlockRecord | null>;
  /** Wire form of a committed block, for peers. */
  wireBlock(number: BlockNumber): Promise<Uint8Array | null>;
  /** Commit certificate of block `number`; empty for genesis, null when the block is unknown. */
  certificate(number: BlockNumber): Promise<Uint8Array | null>;
  receipts(number: BlockNumber): Promise<readonly Receipt[] | null>;
  receipt(hash: Hash): Promise<Receipt | null>;
  transaction(hash: Hash): Promise<TransactionRecord | null>;
  systemLogs(number: BlockNumber): Promise<readonly RawLog[] | null>;
  /** `limit` is capped by limits.historyPage; a bad cursor is a Fault. */
  addressHistory(address: Address, page: HistoryRequest): Promise<Result<HistoryPage>>;
  /** Faults: range or result count over the limit, with the usable range in the message. */
  logs(filter: LogFilter): Promise<Result<readonly Log[]>>;
  statistics(): ChainStatistics;

  /** Post-state of a block; Fault `stateUnavailable` outside the kept window. */
  state(number: BlockNumber): Result<StateView>;
  /** EIP-1186 of the head, also by its number: Fault `stateUnavailable` otherwise. */
  proof(address: Address, slots: readonly Hash[], number: BlockNumber | 'head'): Promise<Result<AccountProof>>;
  /** Runs a message on a private overlay of the block's post-state. Fault for a request that cannot start (funds, window). */
  call(
    request: CallRequest,
    number: BlockNumber,
    overrides?: CallOverrides,
    trace?: TraceListener,
  ): Promise<Result<CallOutcome>>;
  /** Smallest gas limit that succeeds; a failing call is a Fault `reverted` (fields.data = revert bytes) or `callFailed`. */
  estimateGas(request: CallRequest, number: BlockNumber, overrides?: CallOverrides): Promise<Result<bigint>>;
  /** EIP-2930 list the message would touch. */
  accessList(
    request: CallRequest,
    number: BlockNumber,
  ): Promise<Result<Readonly<{ accessList: readonly AccessListItem[]; gasUsed: bigint; error: string | null }>>>;
  /** eth_simulateV1: blocks that might follow block `number`. */
  simulate(simulation: Simulation, number: BlockNumber): Promise<Result<readonly SimulatedBlock[]>>;
  /** Re-executes a committed transaction on its parent's state (inside the window), for tracers. */
  traceTransaction(hash: Hash, trace: TraceListener): Promise<Result<CallOutcome>>;

  /** Base fee of the block after the head. */
  nextBaseFee(): bigint;
  buildBlock(request: BuildRequest): Promise<Result<Candidate>>;
  /** Checks every field and executes; the Fault names the field. The block stands on the head; `senders`: those known. */
  validateBlock(wire: Uint8Array, check?: BlockCheck, senders?: readonly Address[]): Promise<Result<Candidate>>;
  /** A candidate of the next height that was built or validated, by block hash. */
  candidate(hash: Hash): Candidate | null;
  /** One synced batch, head last; then the pool is revalidated and listeners hear of it. Throws on any write error. A held
   * block is the head at once, but is written, and heard of, by `settle` or with the next one that is not held. */
  commit(candidate: Candidate, certificate: Uint8Array, options?: Readonly<{ isHeld?: boolean }>): Promise<void>;
  /** Writes what is held as one synced batch. */
  settle(): Promise<void>;
  /** validateBlock and commit: for syncing peers; the certificate has been verified by the caller. */
  importBlock(wire: Uint8Array, certificate: Uint8Array, check?: BlockCheck): Promise<Result<BlockRecord>>;

  /** Returns the function that unsubscribes. */
  onHead(listener: (event: HeadEvent) => void): () => void;
  /** Null while healthy; a write error poisons the handle for good and every later write refuses. */
  failure(): Error | null;
  /** Waits for the running block, then closes the database. */
  close(): Promise<void>;
}>;

export type PoolContent = ReadonlyMap<Address, readonly Transaction[]>;

/** Transactions waiting for a block. Synchronous. Fault messages use geth's words, which wallets classify by. */
export type TransactionPool = Readonly<{
  /** Checks and admits EIP-2718 bytes. `nowMs` starts the transaction's time to live. */
  add(raw: Uint8Array, nowMs: number, senderOf?: (hash: Hash) => Address | undefined): Result<Hash>;
  get(hash: Hash): Transaction | null;
  /** Next nonce counting executable pool transactions. */
  pendingNonce(address: Address): number;
  /** By sender, by nonce. Pending ones can execute now; queued ones wait for a nonce or for funds. */
  content(): Readonly<{ pending: PoolContent; queued: PoolContent }>;
  status(): Readonly<{ pending: number; queued: number; bytes: number }>;
  /** Executable transactions for the next block, by effective tip, nonces in order, within the gas. */
  select(request: Readonly<{ baseFee: bigint; gasLimit: bigint }>): readonly Transaction[];
  /** Takes out transactions whose time to live has passed, and returns how many. */
  expire(nowMs: number): number;
  /** Takes out one transaction (for example one that buildBlock left out as invalid). */
  remove(hash: Hash): boolean;
  /** Hears every admitted transaction; returns the function that unsubscribes. */
  onAdded(listener: (transaction: Transaction) => void): () => void;
}>;

/** An authority of the genesis set; `publicKey` is the 33-byte compressed secp256k1 key of `address`. */
export type GenesisAuthority = Readonly<{ address: Address; publicKey: Hex }>;
export type GenesisAccount = Readonly<{
  balance: bigint;
  nonce?: number;
  code?: Hex;
  storage?: Readonly<Record<Hash, Hash>>;
}>;

/** A network's first state. The file form is JSON (chain/genesis.ts). */
export type Genesis = Readonly<{
  chainId: number;
  /** Whole seconds. */
  timestamp: number;
  gasLimit: bigint;
  baseFeePerGas: bigint;
  authorities: readonly GenesisAuthority[];
  alloc: Readonly<Record<Address, GenesisAccount>>;
  /** Opaque JSON here: rules of learning rounds, the dataset, what false steps are proven against (chain/system). */
  learning: Readonly<Record<string, unknown>>;
  dataset: Readonly<Record<string, unknown>>;
  challenges?: Readonly<Record<string, unknown>>;
}>;

/** A call the protocol makes at the start of a block from 0xff..fe, gas-free, as EIP-4788 does. */
export type SystemCall = Readonly<{
  to: Address;
  data: Uint8Array;
  /** A revert makes the block impossible instead of being ignored: set where going on would mint twice. */
  mustSucceed?: boolean;
}>;

/** What the chain needs of the system contracts. */
export type SystemHooks = Readonly<{
  /** Accounts put into genesis beside genesis.alloc. */
  alloc: Readonly<Record<Address, GenesisAccount>>;
  /** Calls of block `number`, which pays `paid` withdrawals. */
  calls(number: number, paid: number): readonly SystemCall[];
  /** First `max` unpaid rewards in the parent's state, whose storage `read` gives. */
  rewards(read: (at: Address, slot: Uint8Array) => Promise<Uint8Array>, max: number): Promise<readonly DueReward[]>;
}>;
export type DueReward = Readonly<{ address: Address; amountGwei: bigint }>;

export type OpenOptions = Readonly<{
  /** Folder of the level database. */
  directory: string;
  genesis: Genesis;
  /** Create the database when the folder holds none; otherwise opening an absent one is a Fault. */
  create: boolean;
  limits?: Partial<ChainLimits>;
  /** extraData of the genesis header: hash of the authority set of block 1. Zero when left out. */
  firstSetHash?: Hash;
  /** The real system contracts when left out. */
  system?: SystemHooks;
}>;
