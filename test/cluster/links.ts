// Owns cuttable links between the nodes of a network on loopback: a TCP relay for each direction of each pair, so that a test
// can part the network as a broken cable would: silence, no reset, and what was connected before stays dead for ever.

import { type Server, type Socket, connect, createServer } from 'node:net';
import { readFileSync, writeFileSync } from 'node:fs';
import { present } from '../../base/check.ts';
import type { FoundedNode } from '../../node/founding.ts';
import { freePorts } from '../../node/free-ports.ts';

const HOST = '127.0.0.1';

export type Link = Readonly<{
  port: number;
  /** From now on no byte passes, and nobody is told. */
  cut(): void;
  /** Connections begun during the cut go through, as a repeated SYN would; older ones stay silent. */
  heal(): void;
  close(): Promise<void>;
}>;

/** Relay to a port of this machine. */
export async function openLink(port: number, target: number): Promise<Link> {
  const sockets = new Set<Socket>();
  const waiting = new Set<Socket>();
  let isCut = false;

  function keep(socket: Socket): void {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      sockets.delete(socket);
      waiting.delete(socket);
    });
  }

  function forward(near: Socket): void {
    const far = connect(target, HOST);
    keep(far);
    near.once('close', () => {
      if (!isCut) far.destroy();
    });
    far.once('close', () => {
      if (!isCut) near.destroy();
    });
    near.pipe(far);
    far.pipe(near);
  }

  const server: Server = createServer({ pauseOnConnect: true, noDelay: true }, (near) => {
    keep(near);
    if (isCut) waiting.add(near);
    else forward(near);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, resolve);
  });
  return {
    port,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    heal() {
      isCut = false;
      for (const near of waiting) forward(near);
      waiting.clear();
    },
    async close() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type Mesh = Readonly<{
  /** Parts the named groups from one another; links inside a group stay. */
  part(groups: readonly (readonly number[])[]): void;
  heal(): void;
  close(): Promise<void>;
}>;

/**
 * Rewrites the config files of nodes that have not started yet, so that every connection between two of them goes through a
 * link: each dials the others at their links only, and announces an address where nobody listens.
 */
export async function openMesh(nodes: readonly FoundedNode[]): Promise<Mesh> {
  const ports = await freePorts(nodes.length * nodes.length);
  const links = new Map<string, Link>();
  for (const [from, node] of nodes.entries()) {
    const boots: string[] = [];
    for (const [to, other] of nodes.entries()) {
      if (from === to) continue;
      const link = await openLink(present(ports[from * nodes.length + to], 'port'), other.port);
      links.set(`${from}-${to}`, link);
      boots.push(`${HOST}:${link.port}`);
    }
    const nowhere = present(ports[from * nodes.length + from], 'port');
    const config = JSON.parse(readFileSync(node.configFile, 'utf8')) as object;
    const changed = { ...config, boot_nodes: boots, announce_addresses: [`${HOST}:${nowhere}`] };
    writeFileSync(node.configFile, `${JSON.stringify(changed, null, 2)}\n`);
  }
  return {
    part(groups) {
      const groupOf = (index: number): number => groups.findIndex((group) => group.includes(index));
      for (const [key, link] of links) {
        const [from, to] = key.split('-').map(Number);
        if (groupOf(from ?? -1) !== groupOf(to ?? -1)) link.cut();
      }
    },
    heal() {
      for (const link of links.values()) link.heal();
    },
    async close() {
      await Promise.all([...links.values()].map((link) => link.close()));
    },
  };
}
