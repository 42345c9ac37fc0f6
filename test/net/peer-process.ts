// Owns one peer node in a process of its own, driven by its parent over IPC: the multi-process tests start it.

import { unwrap } from '../../base/fault.ts';
import { createPeerNode } from '../../net/peer-node.ts';
import { optionsFor } from './harness.ts';

export type Order =
  | Readonly<{ kind: 'publish'; from: number; count: number; gapMs: number; bytes: number }>
  | Readonly<{ kind: 'stop' }>;
export type Report =
  | Readonly<{ kind: 'up'; port: number; peer: string }>
  | Readonly<{ kind: 'peers'; count: number }>
  | Readonly<{ kind: 'got'; serial: number; latencyMs: number }>
  | Readonly<{ kind: 'stopped' }>;

const [seed = '1', port = '0', ...bootNodes] = process.argv.slice(2);
const tell = (report: Report): void => void process.send?.(report);

/** Monotonic milliseconds that all processes of one machine share. */
const sharedNow = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

const node = unwrap(await createPeerNode(optionsFor(Number(seed), { port: Number(port), bootNodes })));
node.onPeer(() => tell({ kind: 'peers', count: node.peers().length }));
node.subscribe('consensus', (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  tell({ kind: 'got', serial: view.getUint32(0), latencyMs: sharedNow() - view.getFloat64(4) });
  return 'accept';
});

process.on('message', async (order: Order) => {
  if (order.kind === 'stop') {
    await node.stop();
    tell({ kind: 'stopped' });
    // Leaving by itself shows that nothing keeps the process alive.
    process.disconnect();
    return;
  }
  for (let k = 0; k < order.count; k++) {
    const bytes = new Uint8Array(order.bytes);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, order.from + k);
    view.setFloat64(4, sharedNow());
    await node.publish('consensus', bytes);
    await new Promise((resolve) => setTimeout(resolve, order.gapMs));
  }
});
process.on('disconnect', () => void node.stop());
tell({ kind: 'up', port: node.port, peer: node.peerId });
