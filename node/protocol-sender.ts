// Owns the protocol transactions a node sends for itself (register, commit, verdict, judge, attest): each named by a key,
// sent once, followed until it is in a block, signed again when it got lost. Which to send is the agents' business.

import type { Chain, HeadEvent } from '../chain/api.ts';
import { decodeRevert } from '../chain/system/abi.ts';
import type { ContractCall } from '../chain/system/api.ts';
import { type Hex, fromHex, isHex } from '../base/bytes.ts';
import type { Fault, Result } from '../base/fault.ts';
import { GAS_MARGIN_PERCENT, PROTOCOL_TRANSACTIONS, RESEND_BLOCKS } from './limits.ts';
import type { Logger } from './logger.ts';
import { signTransaction } from './wallet.ts';

const TIP = 1_000_000_000n;

type Outstanding = {
  readonly call: ContractCall;
  readonly gas: bigint;
  hash: Hex | null;
  sentAt: number;
  tries: number;
};

export type ProtocolSender = Readonly<{
  /**
   * Queues a call under a key; a key that is outstanding or done is left alone. `gas` is the least gas limit: what an
   * estimate finds may be too little, since the last commit of a round or the last judgement does more than others.
   */
  send(key: string, call: ContractCall, gas: bigint): void;
  /** Notes that the chain already holds what a key stands for, so that it is not sent again after a restart. */
  markDone(key: string): void;
  /** True from `send` on, until the transaction failed for good. */
  knows(key: string): boolean;
  /** Hash of the transaction of a key once it is in a block; null before, and for what was only marked as done. */
  included(key: string): Hex | null;
  /** Called with each committed block, in order. */
  onHead(event: HeadEvent): Promise<void>;
  address: Hex;
}>;

/** Times one call is signed anew before it is given up. */
const TRIES = 5;

/** The contract's own error by name, where the refusal carries one. */
function reasonOf(refusal: Fault): string {
  const { data } = refusal.fields;
  const error = isHex(data) ? decodeRevert(fromHex(data)) : null;
  return error === null ? refusal.message : `${error.name}(${error.args.map(String).join(', ')})`;
}

/** Sender for the account of `secretKey`; `submit` puts raw bytes into the pool and spreads them. */
export function createProtocolSender(options: {
  chain: Chain;
  address: Hex;
  secretKey: Uint8Array;
  submit: (raw: Uint8Array) => Promise<Result<Hex>>;
  log: Logger;
}): ProtocolSender {
  const { chain, address, secretKey, submit, log } = options;
  const outstanding = new Map<string, Outstanding>();
  const done = new Map<string, Hex | null>();
  let queue: Promise<void> = Promise.resolve();

  async function sign(key: string, entry: Outstanding): Promise<void> {
    const head = chain.head().header.number;
    const { call } = entry;
    entry.tries++;
    entry.sentAt = head;
    const estimate = await chain.estimateGas({ from: address, to: call.to, data: call.data, value: call.value }, head);
    if (!estimate.ok) {
      const reason = reasonOf(estimate);
      log.debug('protocol transaction would fail', { key, reason });
      if (entry.tries >= TRIES) giveUp(key, reason);
      return;
    }
    const withMargin = (estimate.value * BigInt(100 + GAS_MARGIN_PERCENT)) / 100n;
    const { raw, hash } = signTransaction(
      {
        chainId: chain.chainId,
        nonce: BigInt(chain.pool.pendingNonce(address)),
        maxPriorityFeePerGas: TIP,
        maxFeePerGas: 2n * chain.nextBaseFee() + TIP,
        gas: withMargin > entry.gas ? withMargin : entry.gas,
        to: call.to,
        value: call.value,
        data: call.data,
      },
      secretKey,
    );
    const accepted = await submit(raw);
    if (accepted.ok) {
      entry.hash = hash;
      log.debug('protocol transaction sent', { key, hash });
    } else if (entry.tries >= TRIES) {
      giveUp(key, accepted.message);
    } else {
      log.warn('protocol transaction refused by the pool', { key, reason: accepted.message });
    }
  }

  function giveUp(key: string, reason: string): void {
    outstanding.delete(key);
    log.warn('protocol transaction given up', { key, reason });
  }

  function finish(key: string, entry: Outstanding, succeeded: boolean, hash: Hex): void {
    if (!succeeded) {
      log.warn('protocol transaction failed in its block', { key, hash });
      // What came before it in the block may have been in its way: the next head says whether it still would fail.
      if (entry.tries < TRIES) entry.hash = null;
      else outstanding.delete(key);
      return;
    }
    outstanding.delete(key);
    remember(key, hash);
  }

  function remember(key: string, hash: Hex | null): void {
    done.set(key, hash);
    for (const oldest of done.keys()) {
      if (done.size <= PROTOCOL_TRANSACTIONS) break;
      done.delete(oldest);
    }
  }

  /** One action at a time, so that two calls never take the same nonce. */
  function enqueue(action: () => Promise<void>): Promise<void> {
    queue = queue.then(action).catch((error: unknown) => log.error('protocol transaction', { reason: String(error) }));
    return queue;
  }

  return {
    address,
    markDone: (key) => remember(key, null),
    included: (key) => done.get(key) ?? null,
    knows: (key) => outstanding.has(key) || done.has(key),
    send(key, call, gas) {
      if (outstanding.has(key) || done.has(key)) return;
      if (outstanding.size >= PROTOCOL_TRANSACTIONS) {
        log.warn('protocol transaction dropped: too many outstanding', { key, limit: PROTOCOL_TRANSACTIONS });
        return;
      }
      const entry: Outstanding = { call, gas, hash: null, sentAt: chain.head().header.number, tries: 0 };
      outstanding.set(key, entry);
      void enqueue(() => sign(key, entry));
    },
    onHead(event) {
      const included = new Map(event.receipts.map((receipt) => [receipt.transactionHash, receipt.status === 1]));
      return enqueue(async () => {
        for (const [key, entry] of [...outstanding]) {
          const succeeded = entry.hash === null ? undefined : included.get(entry.hash);
          if (succeeded !== undefined) finish(key, entry, succeeded, entry.hash as Hex);
          else if (entry.hash === null || event.block.header.number - entry.sentAt >= RESEND_BLOCKS)
            await again(key, entry);
        }
      });
    },
  };

  async function again(key: string, entry: Outstanding): Promise<void> {
    const receipt = entry.hash === null ? null : await chain.receipt(entry.hash);
    if (receipt !== null) finish(key, entry, receipt.status === 1, receipt.transactionHash);
    else if (entry.hash !== null && chain.pool.get(entry.hash) !== null) entry.sentAt = chain.head().header.number;
    else if (entry.tries >= TRIES) giveUp(key, 'not included');
    else await sign(key, entry);
  }
}
