// Owns what the API server is given of this node: who it is, whom it knows, how transactions enter, and the dev wallet.

import { randomBytes } from 'node:crypto';
import express, { type Request, type Response } from 'express';
import type { Hex } from '../base/bytes.ts';
import { fault, success } from '../base/fault.ts';
import type { BlobStore } from '../bridge/blob-store.ts';
import { walrusRouter } from '../bridge/walrus-http.ts';
import type { Chain } from '../chain/api.ts';
import { quorumOf } from '../consensus/quorum.ts';
import type { PeerNode } from '../net/api.ts';
import type { LearningPort, NodeInfo, RpcPorts, Wallet } from '../rpc/ports.ts';
import { isLoopback } from '../rpc/rate-limit.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { ConsensusDriver } from './consensus-driver.ts';
import type { Identity } from './identity.ts';
import type { Learning } from './learning.ts';
import type { Logger } from './logger.ts';
import { claimedHeight } from './peer-heights.ts';
import type { TransactionGossip } from './transaction-gossip.ts';
import { VERSION } from './version.ts';
import { signTransaction } from './wallet.ts';

export type RpcPortsOptions = Readonly<{
  config: Config;
  identity: Identity;
  isAuthority: boolean;
  chain: Chain;
  store: BlobStore;
  peerNode: PeerNode;
  driver: ConsensusDriver;
  /** Null until dataset and model are here. */
  learning: () => Learning | null;
  learningPort: LearningPort;
  gossip: TransactionGossip;
  clock: Clock;
  log: Logger;
}>;

function warnings(authorities: number, config: Config): string[] {
  const list: string[] = [];
  if (authorities < 4) {
    list.push(
      `${authorities} ${authorities === 1 ? 'authority tolerates' : 'authorities tolerate'} no failure: blocks stop when one is down; use 4 or more`,
    );
  }
  if (config.wallet_rpc) list.push('wallet_rpc is on: programs on this machine can spend from this node without a key');
  if (config.api_host !== '127.0.0.1' && config.api_host !== 'localhost' && config.api_host !== '::1') {
    list.push(`the API listens on ${config.api_host}: everyone who reaches it can read and chat`);
  }
  return list;
}

function wallet(chain: Chain, identity: Identity): Wallet {
  return {
    addresses: () => [identity.address],
    async signTransaction(request) {
      if (request.from.toLowerCase() !== identity.address)
        return fault('wallet', `from: this node signs for ${identity.address} only`);
      const head = chain.head().header.number;
      const gas =
        request.gas === null
          ? await chain.estimateGas(
              { from: identity.address, to: request.to, data: request.data, value: request.value },
              head,
            )
          : success(request.gas);
      if (!gas.ok) return gas;
      const tip = request.maxPriorityFeePerGas ?? 1_000_000_000n;
      const { raw } = signTransaction(
        {
          chainId: chain.chainId,
          nonce: request.nonce ?? BigInt(chain.pool.pendingNonce(identity.address)),
          maxPriorityFeePerGas: tip,
          maxFeePerGas: request.maxFeePerGas ?? 2n * chain.nextBaseFee() + tip,
          gas: gas.value,
          to: request.to,
          value: request.value,
          data: request.data,
        },
        identity.secretKey,
      );
      return success(raw);
    },
  };
}

/** The blob store in Walrus' own HTTP shapes; only programs on this machine may store. */
function blobRouter(store: BlobStore, log: Logger): RpcPorts['blobs'] {
  const router = walrusRouter({
    store,
    mayStore: (request) => isLoopback(request.socket.remoteAddress ?? ''),
    onError: (error) => log.error('blob store', { reason: String(error) }),
  });
  const app = express().disable('x-powered-by').use('/walrus', router);
  return (request, response) =>
    new Promise((resolve) => {
      response.once('close', () => resolve(true));
      app(request as Request, response as Response, () => resolve(false));
    });
}

export function createRpcPorts(options: RpcPortsOptions): RpcPorts {
  const { config, identity, isAuthority, chain, peerNode, driver, clock, log } = options;
  const startedMs = clock.now();
  const startedHeight = chain.head().header.number;
  /** The newest set the driver saw, with who signed the newest certificate left to the explorer's own reads. */
  const authorities = (): readonly Hex[] => driver.status().validators as readonly Hex[];

  function node(): NodeInfo {
    const height = chain.head().header.number;
    const highest = Math.max(height, claimedHeight(peerNode.peers(), authorities().length));
    return {
      nodeId: config.node_id,
      address: identity.address,
      isAuthority,
      trainingEnabled: config.training_enabled,
      version: `pol-node/${VERSION}`,
      startedMs,
      syncing:
        highest > height + 2 ? { startingBlock: startedHeight, currentBlock: height, highestBlock: highest } : null,
      warnings: warnings(authorities().length, config),
    };
  }

  return {
    clock: { nowMs: clock.now, monotonicMs: clock.monotonic },
    entropy: (length) => new Uint8Array(randomBytes(length)),
    node,
    network: () => ({
      chainId: chain.chainId,
      genesisHash: chain.genesisHash,
      listen: peerNode.addresses(),
      peers: peerNode.peers().map((peer) => ({
        peerId: peer.peer,
        address: peer.remoteAddress,
        direction: peer.direction,
        nodeId: null,
        height: peer.status.height,
        isAuthority: peer.authority !== null,
      })),
      authorities: authorities().map((address) => ({
        address,
        active: address === identity.address || peerNode.peers().some((peer) => peer.authority === address),
      })),
      quorum: quorumOf(authorities().length),
    }),
    learning: options.learningPort,
    get chat() {
      return options.learning()?.chat ?? null;
    },
    submitTransaction: options.gossip.submit,
    prepareTransactions: options.gossip.prepare,
    wallet: config.wallet_rpc ? wallet(chain, identity) : null,
    blobs: blobRouter(options.store, log),
    metrics: () => metrics(options),
    log: (event, fields) => log.debug(event, fields),
  };
}

function metrics({ driver, peerNode, learning }: RpcPortsOptions): string {
  const { height, round } = driver.status();
  const counters = peerNode.counters();
  const audits = learning()?.auditor?.counts() ?? { valid: 0, invalid: 0, unavailable: 0, passed: 0 };
  const lines: [name: string, kind: string, value: number][] = [
    ['pol_consensus_height', 'gauge', height],
    ['pol_consensus_round', 'gauge', round],
    ['pol_peer_messages_in_total', 'counter', counters.messagesIn],
    ['pol_peer_messages_out_total', 'counter', counters.messagesOut],
    ['pol_peer_bans_total', 'counter', counters.bans],
    ['pol_audits_valid_total', 'counter', audits.valid],
    ['pol_audits_invalid_total', 'counter', audits.invalid],
    ['pol_audits_passed_total', 'counter', audits.passed],
  ];
  return lines.map(([name, kind, value]) => `# TYPE ${name} ${kind}\n${name} ${value}\n`).join('');
}
