// Owns the few answers of a chain that tests of envelopes and sockets need; what executes is tested on the real chain.

import { fault } from '../../base/fault.ts';
import type { BlockRecord, Chain, HeadEvent, Transaction } from '../../chain/api.ts';

const zero = (length: number) => `0x${'00'.repeat(length)}` as const;

export const genesisBlock: BlockRecord = {
  hash: `0x${'0a'.repeat(32)}`,
  header: {
    parentHash: zero(32),
    ommersHash: zero(32),
    coinbase: zero(20),
    stateRoot: zero(32),
    transactionsRoot: zero(32),
    receiptsRoot: zero(32),
    logsBloom: zero(256),
    difficulty: 0n,
    number: 0,
    gasLimit: 30_000_000n,
    gasUsed: 0n,
    timestamp: 1_790_000_000,
    extraData: zero(32),
    mixHash: zero(32),
    nonce: zero(8),
    baseFeePerGas: 1_000_000_000n,
    withdrawalsRoot: zero(32),
    blobGasUsed: 0n,
    excessBlobGas: 0n,
    parentBeaconBlockRoot: zero(32),
    requestsHash: zero(32),
  },
  transactions: [],
  withdrawals: [],
  parentCertificate: new Uint8Array(0),
  vrfProof: new Uint8Array(0),
  size: 600,
};

export type StubChain = Chain & {
  /** Tells listeners of a head. */
  emitHead(event: HeadEvent): void;
  emitPending(transaction: Transaction): void;
};

export function stubChain(): StubChain {
  const heads = new Set<(event: HeadEvent) => void>();
  const pending = new Set<(transaction: Transaction) => void>();
  const listen = <T>(set: Set<T>, listener: T) => {
    set.add(listener);
    return () => void set.delete(listener);
  };
  const known: Partial<StubChain> = {
    chainId: 504_101n,
    genesisHash: genesisBlock.hash,
    head: () => genesisBlock,
    numberOf: (hash) => Promise.resolve(hash === genesisBlock.hash ? 0 : null),
    blockByNumber: (number) => Promise.resolve(number === 0 ? genesisBlock : null),
    blockByHash: (hash) => Promise.resolve(hash === genesisBlock.hash ? genesisBlock : null),
    header: (number) => Promise.resolve(number === 0 ? genesisBlock.header : null),
    receipts: (number) => Promise.resolve(number === 0 ? [] : null),
    certificate: () => Promise.resolve(new Uint8Array(0)),
    transaction: () => Promise.resolve(null),
    receipt: () => Promise.resolve(null),
    logs: () => Promise.resolve({ ok: true, value: [] }),
    nextBaseFee: () => 875_000_000n,
    statistics: () => ({ height: 0, transactions: 0, minted: 0n, burned: 0n }),
    failure: () => null,
    onHead: (listener) => listen(heads, listener),
    state: (number) => ({
      ok: true,
      value: {
        blockNumber: number,
        account: () => Promise.resolve(null),
        balance: () => Promise.resolve(5_500_000_000_000_000_000n),
        nonce: () => Promise.resolve(0),
        code: () => Promise.resolve(new Uint8Array(0)),
        storage: () => Promise.resolve(zero(32)),
      },
    }),
    pool: {
      add: () => fault('nonceTooLow', 'nonce too low'),
      get: () => null,
      pendingNonce: () => 3,
      content: () => ({ pending: new Map(), queued: new Map() }),
      status: () => ({ pending: 0, queued: 0, bytes: 0 }),
      select: () => [],
      expire: () => 0,
      remove: () => false,
      onAdded: (listener) => listen(pending, listener),
    },
    emitHead: (event) => {
      for (const listener of heads) listener(event);
    },
    emitPending: (transaction) => {
      for (const listener of pending) listener(transaction);
    },
  };
  return known as StubChain;
}
