// Owns every bound of the chain, each with its unit and its reason.

/** Every bound a chain may be opened with. */
export type ChainLimits = Readonly<{
  /** Blocks of history for state reads; Infinity keeps all (archive). */
  stateWindow: number;
  /** Gas of eth_call and estimateGas. */
  callGas: bigint;
  /** Bytes of one block on the wire. */
  blockBytes: number;
  /** Bytes of one transaction. */
  transactionBytes: number;
  certificateBytes: number;
  vrfProofBytes: number;
  withdrawalsPerBlock: number;
  logsRange: number;
  logsResults: number;
  logsCriteria: number;
  historyPage: number;
  proofSlots: number;
  candidates: number;
  poolExecutablePerAccount: number;
  poolQueuedPerAccount: number;
  poolTransactions: number;
  poolQueuedTransactions: number;
  poolBytes: number;
  /** Percent by which both fees must rise to replace a transaction. */
  poolPriceBump: number;
  poolMinimumTip: bigint;
  /** Gas of one transaction the pool takes. */
  poolTransactionGas: bigint;
  poolTimeToLiveMs: number;
  headerCache: number;
  stateCache: number;
}>;

export const DEFAULT_LIMITS: ChainLimits = {
  /** Blocks: about an hour at one a second; older previous values are deleted. */
  stateWindow: 4096,
  /** Gas: about 2 seconds of the slowest ordinary code; a call holds the thread for as long. */
  callGas: 30_000_000n,
  /** Bytes: four times the largest block of plain transfers at the default gas limit. */
  blockBytes: 2 * 1024 * 1024,
  /** Bytes: geth's transaction cap. */
  transactionBytes: 128 * 1024,
  /** Bytes: a certificate of 100 signatures is 6.6 KB. */
  certificateBytes: 16 * 1024,
  /** Bytes: an ECVRF proof is 81. */
  vrfProofBytes: 128,
  /** Protocol rule, EIP-4895 limit of mainnet. */
  withdrawalsPerBlock: 16,
  logsRange: 10_000,
  logsResults: 10_000,
  /** geth: addresses or topics in one position. */
  logsCriteria: 1_000,
  historyPage: 100,
  proofSlots: 1_024,
  /** Candidates of the next height kept by hash. */
  candidates: 8,
  poolExecutablePerAccount: 1_024,
  poolQueuedPerAccount: 64,
  poolTransactions: 16_384,
  poolQueuedTransactions: 1_024,
  poolBytes: 64 * 1024 * 1024,
  poolPriceBump: 10,
  poolMinimumTip: 0n,
  /** EIP-7825's cap: the slowest precompile calls cannot be interrupted, and hold the thread for seconds even so. */
  poolTransactionGas: 16_777_216n,
  /** Milliseconds: 3 hours, as geth. */
  poolTimeToLiveMs: 3 * 3_600_000,
  /** Headers kept decoded in memory. */
  headerCache: 1_024,
  /** Accounts and slots, each: about 40 MB when full. */
  stateCache: 100_000,
};

/** Blocks whose receipts are checked against their roots when the database is opened. */
export const OPEN_CHECK_BLOCKS = 128;
/** EIP-3529: at most a fifth of the gas comes back. */
export const REFUND_QUOTIENT = 5n;
/** Blocks, and bytes of their rows, that a node catching up takes in before it writes them together. */
export const HELD_BLOCKS = 512;
export const HELD_BYTES = 32 * 1024 * 1024;
/** Bytes of init code, EIP-3860. */
export const INIT_CODE_BYTES = 49_152;
/** Gas of a system call, EIP-4788. */
export const SYSTEM_CALL_GAS = 30_000_000n;
/** Bytes of a genesis file. */
export const GENESIS_BYTES = 8 * 1024 * 1024;
export const GENESIS_ACCOUNTS = 100_000;
export const GENESIS_AUTHORITIES = 100;
/** Trie nodes kept in memory; above it the resident trees are dropped and read again on demand. */
export const RESIDENT_NODES = 200_000;
/** EVM instances kept for eth_call; calls beyond them wait. */
export const CALL_EXECUTORS = 4;
/** Calls waiting for an instance, and proofs waiting for a whole block; more are refused. */
export const CALLS_WAITING = 256;
export const PROOFS_WAITING = 64;
/** Opcodes traced in one run. */
export const TRACE_STEPS = 1_000_000;
/** Jobs waiting for the execution queue. */
export const QUEUE_LENGTH = 1_024;
/** Blocks of one simulation, its gaps included; calls of all of them. go-ethereum's bounds. */
export const SIMULATED_BLOCKS = 256;
export const SIMULATED_CALLS = 5_000;
/** Seconds between simulated blocks whose time is not given. */
export const SIMULATED_INTERVAL = 12;
/** Bytes of build/chain/predeploys.json. */
export const PREDEPLOYS_FILE_BYTES = 1024 * 1024;
