// Owns /metrics: the server's and the chain's gauges in the Prometheus text format, version 0.0.4. Names end in a unit.

import type { Chain } from '../chain/api.ts';
import type { RpcPorts } from './ports.ts';

export type MetricsOptions = Readonly<{
  chain: Chain;
  ports: RpcPorts;
  webSockets(): number;
  generations(): Readonly<{ running: number; waiting: number }>;
}>;

export function metricsText({ chain, ports, webSockets, generations }: MetricsOptions): string {
  const head = chain.head().header;
  const pool = chain.pool.status();
  const { transactions } = chain.statistics();
  const node = ports.node();
  const load = generations();
  const lines = [
    gauge('chain_height_blocks', 'Height of the newest finalised block.', head.number),
    gauge('chain_head_timestamp_seconds', 'Timestamp of the newest block, Unix seconds.', head.timestamp),
    gauge('chain_transactions_total', 'Transactions in the chain.', transactions),
    gauge('chain_base_fee_wei', 'Base fee of the next block.', Number(chain.nextBaseFee())),
    gauge('pool_pending_transactions', 'Executable transactions in the pool.', pool.pending),
    gauge('pool_queued_transactions', 'Transactions waiting for a nonce or funds.', pool.queued),
    gauge('pool_size_bytes', 'Bytes of the pool.', pool.bytes),
    gauge('network_peers_count', 'Connected peers.', ports.network().peers.length),
    gauge('node_syncing_flag', '1 while the node is behind the head it knows of.', node.syncing === null ? 0 : 1),
    gauge('node_uptime_seconds', 'Seconds since the start.', (ports.clock.nowMs() - node.startedMs) / 1_000),
    gauge('rpc_websockets_count', 'Open WebSocket connections.', webSockets()),
    gauge('rpc_generations_running_count', 'Generations running.', load.running),
    gauge('rpc_generations_waiting_count', 'Generations waiting.', load.waiting),
  ];
  const others = ports.metrics();
  return `${lines.join('')}${others === '' || others.endsWith('\n') ? others : `${others}\n`}`;
}

function gauge(name: string, help: string, value: number): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${value}\n`;
}
