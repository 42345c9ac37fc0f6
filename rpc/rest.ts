// Owns /api/v1: the published routes and their explorer neighbours, read-only. Field names are snake_case as published.
// Amounts come twice: `x` as decimal POL and `x_wei` as a decimal string of the smallest unit.

import { isHex } from '../base/bytes.ts';
import { FaultError, fault, unwrap } from '../base/fault.ts';
import { formatPol } from '../base/units.ts';
import type { Address, BlockRecord, Chain, HistoryEntry } from '../chain/api.ts';
import { invalidParams } from './errors.ts';
import type { RpcLimits } from './limits.ts';
import type { LearningStatus, RpcPorts } from './ports.ts';
import { blockView, roundView, summaryView, trainerView, transactionView } from './rest-view.ts';

type RestRequest = Readonly<{
  /** The one path parameter, or empty. */
  value: string;
  query(name: string): string | null;
}>;

export type RestRoute = Readonly<{
  path: string;
  summary: string;
  /** Throws FaultError to refuse. */
  answer(request: RestRequest): Promise<unknown>;
}>;

export type RestOptions = Readonly<{
  chain: Chain;
  ports: RpcPorts;
  limits: RpcLimits;
  generations(): Readonly<{ running: number; waiting: number }>;
}>;

const WHOLE = /^(?:0|[1-9]\d{0,14})$/;

function notFound(message: string): FaultError {
  return new FaultError(fault('notFound', message));
}

function addressOf(text: string): Address {
  if (!isHex(text, 20)) throw invalidParams('address: expected 0x and 40 hex digits', { field: 'address' });
  return text.toLowerCase() as Address;
}

function wholeOf(text: string, field: string): number {
  if (!WHOLE.test(text)) throw invalidParams(`${field}: expected a whole number from 0`, { field });
  return Number(text);
}

/** `limit` of a list, within its bound. */
function rowsOf(request: RestRequest, limits: RpcLimits): number {
  const text = request.query('limit');
  if (text === null) return limits.pageRowsDefault;
  const rows = wholeOf(text, 'limit');
  if (rows < 1 || rows > limits.pageRows) {
    throw invalidParams(`limit: expected 1 to ${limits.pageRows}`, { field: 'limit' });
  }
  return rows;
}

function beforeOf(request: RestRequest): number | null {
  const text = request.query('before');
  return text === null ? null : wholeOf(text, 'before');
}

/** Every route of /api/v1, in the order the documentation lists them. */
export function restRoutes(options: RestOptions): readonly RestRoute[] {
  const learningStatus = cached(options.ports.learning.status, options);
  return [...nodeRoutes(options, learningStatus), ...chainRoutes(options), ...learningRoutes(options)];
}

/** One call shared by all who ask within `statusCacheMs`. */
function cached<T>(read: () => Promise<T>, { ports, limits }: RestOptions): () => Promise<T> {
  let known: Readonly<{ atMs: number; value: Promise<T> }> | null = null;
  return () => {
    const nowMs = ports.clock.monotonicMs();
    if (known === null || nowMs - known.atMs > limits.statusCacheMs) {
      known = { atMs: nowMs, value: read() };
      known.value.catch(() => {
        known = null;
      });
    }
    return known.value;
  };
}

function nodeRoutes(options: RestOptions, learningStatus: () => Promise<LearningStatus>): readonly RestRoute[] {
  const { chain, ports } = options;
  return [
    {
      path: '/api/v1/status',
      summary: 'This node: height, epoch, loss, model, role, peers.',
      answer: async () => statusView(options, await learningStatus()),
    },
    {
      path: '/api/v1/network/info',
      summary: 'The network: chain id, authorities, quorum, peers, statistics.',
      async answer() {
        const network = ports.network();
        const { transactions } = chain.statistics();
        return {
          chain_id: Number(network.chainId),
          genesis_hash: network.genesisHash,
          blockchain_height: chain.head().header.number,
          block_hash: chain.head().hash,
          block_timestamp: chain.head().header.timestamp,
          total_transactions: transactions,
          base_fee_wei: chain.nextBaseFee().toString(),
          quorum: network.quorum,
          authorities: network.authorities,
          peer_count: network.peers.length,
          peers: network.peers.map((peer) => ({
            peer_id: peer.peerId,
            address: peer.address,
            direction: peer.direction,
            node_id: peer.nodeId,
            height: peer.height,
            is_authority: peer.isAuthority,
          })),
          listen: network.listen,
        };
      },
    },
    {
      path: '/api/v1/training/status',
      summary: 'The learning round under way, losses and the loss curve.',
      answer: async () => trainingView(await learningStatus()),
    },
  ];
}

function statusView(options: RestOptions, learning: LearningStatus): Readonly<Record<string, unknown>> {
  const { chain, ports, generations } = options;
  const node = ports.node();
  const network = ports.network();
  return {
    node_id: node.nodeId,
    version: node.version,
    address: node.address,
    is_authority: node.isAuthority,
    training_enabled: node.trainingEnabled,
    chain_id: Number(chain.chainId),
    blockchain_height: chain.head().header.number,
    block_hash: chain.head().hash,
    syncing: node.syncing !== null,
    peers: network.peers.length,
    current_epoch: learning.epoch,
    current_loss: learning.heldOutLoss ?? learning.trainingLoss,
    current_round: learning.round,
    accepted_rounds: learning.acceptedRounds,
    model_root: learning.modelRoot,
    model_parameters: learning.parameters,
    chat_available: ports.chat !== null,
    chat_model_round: ports.chat?.info().round ?? null,
    pending_transactions: chain.pool.status().pending,
    generations: generations(),
    uptime_seconds: Math.max(0, Math.floor((ports.clock.nowMs() - node.startedMs) / 1_000)),
    warnings: node.warnings,
  };
}

function trainingView(learning: LearningStatus): Readonly<Record<string, unknown>> {
  return {
    current_epoch: learning.epoch,
    current_loss: learning.heldOutLoss ?? learning.trainingLoss,
    held_out_loss: learning.heldOutLoss,
    training_loss: learning.trainingLoss,
    round: learning.round,
    phase: learning.phase,
    opened_at: learning.openedAt,
    step: learning.step,
    steps_per_round: learning.stepsPerRound,
    accepted_rounds: learning.acceptedRounds,
    tokens_per_second: learning.tokensPerSecond,
    tokens_trained: learning.tokensTrained,
    is_training: learning.training,
    model_root: learning.modelRoot,
    model_parameters: learning.parameters,
    loss_curve: learning.lossCurve.map((point) => ({
      round: point.round,
      held_out_loss: point.heldOutLoss,
      training_loss: point.trainingLoss,
    })),
  };
}

function chainRoutes({ chain, limits }: RestOptions): readonly RestRoute[] {
  return [
    {
      path: '/api/v1/balance/:value',
      summary: 'Balance and nonce of an address.',
      async answer({ value }) {
        const address = addressOf(value);
        const state = unwrap(chain.state(chain.head().header.number));
        const balance = await state.balance(address);
        return {
          address,
          balance: formatPol(balance),
          balance_wei: balance.toString(),
          nonce: await state.nonce(address),
          symbol: 'POL',
          blockchain_height: state.blockNumber,
        };
      },
    },
    {
      path: '/api/v1/block/:value',
      summary: 'Block by number, hash or "latest", with its transactions, withdrawals and certificate.',
      async answer({ value }) {
        const block = await findBlock(chain, value);
        if (block === null) throw notFound(`block: no block ${value.slice(0, 80)}`);
        const certificate = await chain.certificate(block.header.number);
        return blockView(block, (await chain.receipts(block.header.number)) ?? [], certificate);
      },
    },
    {
      path: '/api/v1/blocks',
      summary: 'Newest blocks in short; ?before=height and ?limit page through them.',
      async answer(request) {
        const rows = rowsOf(request, limits);
        const from = Math.min(beforeOf(request) ?? Number.POSITIVE_INFINITY, chain.head().header.number + 1) - 1;
        const items: unknown[] = [];
        for (let number = from; number >= 0 && items.length < rows; number--) {
          const block = await chain.blockByNumber(number);
          if (block !== null) items.push(summaryView(block));
        }
        const next = from - items.length + 1;
        return { items, next_before: next > 0 ? next : null };
      },
    },
    {
      path: '/api/v1/transaction/:value',
      summary: 'One transaction with its receipt.',
      async answer({ value }) {
        if (!isHex(value, 32)) throw invalidParams('hash: expected 0x and 64 hex digits', { field: 'hash' });
        const record = await chain.transaction(value.toLowerCase() as Address);
        if (record === null) throw notFound(`transaction: none with hash ${value}`);
        return transactionView(record, await chain.receipt(record.transaction.hash));
      },
    },
    {
      path: '/api/v1/transactions/:value',
      summary: 'History of an address, newest first; ?cursor and ?limit page through it.',
      async answer(request) {
        const address = addressOf(request.value);
        const cursor = request.query('cursor');
        const page = { limit: rowsOf(request, limits), ...(cursor === null ? {} : { cursor }) };
        const found = await chain.addressHistory(address, page);
        if (!found.ok) throw invalidParams(`cursor: ${found.message}`, { field: 'cursor' });
        const items = await Promise.all(found.value.entries.map((entry) => historyView(chain, entry)));
        return { address, items, next_cursor: found.value.next };
      },
    },
  ];
}

async function findBlock(chain: Chain, text: string): Promise<BlockRecord | null> {
  if (text === 'latest') return chain.head();
  if (isHex(text, 32)) return chain.blockByHash(text.toLowerCase() as Address);
  return chain.blockByNumber(wholeOf(text, 'block'));
}

async function historyView(chain: Chain, entry: HistoryEntry): Promise<Readonly<Record<string, unknown>>> {
  const place = { role: entry.role, block_number: entry.blockNumber, index: entry.index };
  if (entry.hash === null) {
    const block = await chain.blockByNumber(entry.blockNumber);
    const withdrawal = block?.withdrawals[entry.index];
    const amount = (withdrawal?.amount ?? 0n) * 1_000_000_000n;
    return {
      ...place,
      hash: null,
      kind: 'reward',
      to: withdrawal?.address ?? null,
      value: formatPol(amount),
      value_wei: amount.toString(),
      timestamp: block?.header.timestamp ?? null,
    };
  }
  const record = await chain.transaction(entry.hash);
  if (record === null) return { ...place, hash: entry.hash, kind: 'transaction' };
  return { ...place, kind: 'transaction', ...transactionView(record, await chain.receipt(entry.hash)) };
}

function learningRoutes({ chain, ports, limits }: RestOptions): readonly RestRoute[] {
  const { learning } = ports;
  return [
    {
      path: '/api/v1/rounds',
      summary: 'Learning rounds, newest first; ?before=round and ?limit page through them.',
      async answer(request) {
        const rounds = await learning.rounds(beforeOf(request), rowsOf(request, limits));
        const last = rounds[rounds.length - 1];
        return { items: rounds.map(roundView), next_before: last !== undefined && last.round > 0 ? last.round : null };
      },
    },
    {
      path: '/api/v1/rounds/:value',
      summary: 'One learning round with every contribution and verdict.',
      async answer({ value }) {
        const round = await learning.round(wholeOf(value, 'round'));
        if (round === null) throw notFound(`round: no round ${value}`);
        return roundView(round);
      },
    },
    {
      path: '/api/v1/trainers',
      summary: 'Registered trainers with stake, capacity and record.',
      answer: async () => ({ items: (await learning.trainers()).map(trainerView) }),
    },
    {
      path: '/api/v1/supply',
      summary: 'Coins: genesis, minted, burned, vesting, staked, circulating.',
      async answer() {
        const supply = await learning.supply();
        const total = supply.genesis + supply.minted - supply.burned;
        return {
          symbol: 'POL',
          genesis: formatPol(supply.genesis),
          genesis_wei: supply.genesis.toString(),
          minted: formatPol(supply.minted),
          minted_wei: supply.minted.toString(),
          burned: formatPol(supply.burned),
          burned_wei: supply.burned.toString(),
          vesting: formatPol(supply.vesting),
          vesting_wei: supply.vesting.toString(),
          staked: formatPol(supply.staked),
          staked_wei: supply.staked.toString(),
          total: formatPol(total),
          total_wei: total.toString(),
          blockchain_height: chain.head().header.number,
        };
      },
    },
  ];
}
