// Owns a network of consensus drivers inside one process: a toy chain that keeps its blocks in memory, a message bus with
// links that can be cut, real sign-state and log files in a temporary folder.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Hex, concat, fromHex, toHex, u64be, utf8 } from '../../base/bytes.ts';
import { type Result, fault, success } from '../../base/fault.ts';
import { keccak256 } from '../../base/hash.ts';
import { addressOfSecret } from '../../base/keys.ts';
import { systemClock } from '../../node/clock.ts';
import { ConsensusDriver } from '../../node/consensus-driver.ts';
import type {
  BlockIdentity,
  CertifiedBlock,
  ConsensusOptions,
  HeadView,
  HeightReport,
} from '../../node/consensus-options.ts';
import type { Logger } from '../../node/logger.ts';

export const GENESIS_HASH = keccak256(utf8('toy genesis'));
export const CHAIN_ID = 504_102;

export function secret(index: number): Uint8Array {
  return keccak256(utf8(`authority ${index}`));
}

/** height 8 ‖ timestamp 8 ‖ parent 32 ‖ salt. */
export function toyBlock(height: number, timestamp: number, parent: Hex, salt: string): Uint8Array {
  return concat(u64be(height), u64be(timestamp), fromHex(parent), utf8(salt));
}

export class ToyChain {
  readonly blocks: CertifiedBlock[] = [];
  readonly hashes: Hex[] = [];
  head: HeadView = { height: 0, hash: toHex(GENESIS_HASH), timestamp: 0 };

  identify(wire: Uint8Array): Result<BlockIdentity> {
    if (wire.length < 48) return fault('toy/short', 'block: too short');
    const view = new DataView(wire.buffer, wire.byteOffset, wire.byteLength);
    return success({
      height: Number(view.getBigUint64(0)),
      timestamp: Number(view.getBigUint64(8)),
      parentHash: toHex(wire.subarray(16, 48)),
      hash: toHex(keccak256(wire)),
    });
  }

  check(wire: Uint8Array): Result<BlockIdentity> {
    const identity = this.identify(wire);
    if (!identity.ok) return identity;
    const { height, parentHash, timestamp } = identity.value;
    if (height !== this.head.height + 1 || parentHash !== this.head.hash)
      return fault('toy/place', 'block: not on the head');
    return timestamp > this.head.timestamp ? identity : fault('toy/time', 'block: time does not grow');
  }

  commit(wire: Uint8Array, certificate: Uint8Array): Result<null> {
    const checked = this.check(wire);
    if (!checked.ok) return checked;
    this.blocks.push({ wire, certificate });
    this.hashes.push(checked.value.hash);
    this.head = checked.value;
    return success(null);
  }
}

export type Tamper = (bytes: Uint8Array, from: number, to: number) => boolean;

/** Delivers everything to everybody after a turn of the event loop, unless a link is cut. */
export class Bus {
  readonly #receivers = new Map<number, (bytes: Uint8Array, from: string) => string>();
  isLinked: Tamper = () => true;

  join(node: number, receive: (bytes: Uint8Array, from: string) => string): () => void {
    this.#receivers.set(node, receive);
    return () => this.#receivers.delete(node);
  }

  send(from: number, bytes: Uint8Array): void {
    for (const to of this.#receivers.keys()) {
      if (to === from || !this.isLinked(bytes, from, to)) continue;
      setImmediate(() => this.#receivers.get(to)?.(bytes, String(from)));
    }
  }
}

const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export type ToyNode = {
  readonly index: number;
  readonly chain: ToyChain;
  driver: ConsensusDriver | null;
  reports: HeightReport[];
  failures: Error[];
};

export class ToyNetwork {
  readonly bus = new Bus();
  readonly directory = mkdtempSync(join(tmpdir(), 'consensus-test-'));
  readonly nodes: ToyNode[];
  readonly authorities: readonly string[];
  overrides: Partial<ConsensusOptions> = {};

  constructor(count: number, followers = 0) {
    this.authorities = Array.from({ length: count }, (_, index) => addressOfSecret(secret(index)));
    this.nodes = Array.from({ length: count + followers }, (_, index) => ({
      index,
      chain: new ToyChain(),
      driver: null,
      reports: [],
      failures: [],
    }));
  }

  node(index: number): ToyNode {
    return this.nodes[index] as ToyNode;
  }

  async start(index: number): Promise<Result<null>> {
    const node = this.node(index);
    node.driver = new ConsensusDriver(this.#options(node));
    return node.driver.start();
  }

  async stop(index: number): Promise<void> {
    await this.node(index).driver?.stop();
    this.node(index).driver = null;
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.stop(node.index)));
    rmSync(this.directory, { recursive: true, force: true });
  }

  folder(index: number): string {
    return join(this.directory, `node-${index}`);
  }

  async until(condition: () => boolean, limitMs: number): Promise<boolean> {
    const end = systemClock.monotonic() + limitMs;
    while (!condition()) {
      if (systemClock.monotonic() > end) return false;
      await systemClock.sleep(10);
    }
    return true;
  }

  #options(node: ToyNode): ConsensusOptions {
    const { chain, index } = node;
    return {
      chainId: CHAIN_ID,
      genesisHash: GENESIS_HASH,
      key: index < this.authorities.length ? secret(index) : null,
      directory: this.folder(index),
      validators: () => this.authorities,
      blocks: {
        head: () => chain.head,
        identify: (wire) => chain.identify(wire),
        settle: async () => {},
        build: async ({ height, round, timestamp }) => {
          const wire = toyBlock(height, timestamp, chain.head.hash, `${index}/${round}`);
          return success({ wire, hash: toHex(keccak256(wire)) });
        },
        validate: async (wire) => {
          const checked = chain.check(wire);
          return checked.ok ? success(null) : checked;
        },
        commit: async ({ wire }, certificate) => chain.commit(wire, certificate),
      },
      network: {
        broadcast: (bytes) => this.bus.send(index, bytes),
        onMessage: (receive) => this.bus.join(index, receive),
      },
      sync: {
        peers: () =>
          this.nodes
            .filter((peer) => peer !== node && peer.driver !== null)
            .map((peer) => ({ id: String(peer.index), height: peer.chain.head.height })),
        fetch: async (peer, first, count) =>
          success(this.node(Number(peer)).chain.blocks.slice(first - 1, first - 1 + count)),
        examine: async (run) => run,
        punish: (peer, reason) => node.failures.push(new Error(`punished ${peer}: ${reason}`)),
      },
      clock: systemClock,
      log: quiet,
      onHeight: (report) => node.reports.push(report),
      onFatal: (error) => node.failures.push(error),
      intervalMs: 1_000,
      timeouts: { proposeMs: 400, proposeStepMs: 200, voteMs: 200, voteStepMs: 100, capMs: 5_000 },
      ...this.overrides,
    };
  }
}
