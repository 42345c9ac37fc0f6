// Owns getting the peers of bench/engine.ts to run: Debian's PyTorch through its system Python, TensorFlow.js in a child.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ModelConfig } from '../trainer/model.ts';
import { type Peer, startPeer } from './peer.ts';

const PYTHON = '/usr/bin/python3';
/** Without the OpenBLAS package Debian's torch multiplies with reference BLAS, which is no fair peer. */
const PACKAGES = ['python3-torch', 'libopenblas0-openmp'] as const;
const INSTALL = `apt-get install -y --no-install-recommends ${PACKAGES.join(' ')}`;

/** The build stands in build/bench; scripts stay where they are written. */
const script = fileURLToPath(new URL('../../bench/peers/torch-step.py', import.meta.url));
const tfjsScript = fileURLToPath(new URL('./peers/tfjs-step.js', import.meta.url));

function quietly(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function installed(): boolean {
  return quietly('dpkg', ['-s', ...PACKAGES]);
}

/** Makes sure of the packages, by apt when root; null, or why they are missing. */
function provideTorch(): string | null {
  if (installed()) return null;
  if (process.getuid?.() !== 0) return `not installed; as root: ${INSTALL}`;
  console.log(`installing the PyTorch peer: ${INSTALL}`);
  quietly('apt-get', ['update']);
  quietly('sh', ['-c', INSTALL]);
  return installed() ? null : `could not be installed by: ${INSTALL}`;
}

export type Peers = Readonly<{ torch: Peer | string; tfjs: Peer | string }>;

export async function startPeers(): Promise<Peers> {
  const missing = provideTorch();
  const torch = missing ?? (await startPeer(PYTHON, [script]));
  return { torch, tfjs: await startPeer(process.execPath, [tfjsScript]) };
}

/** Gives PyTorch the model to train, and TensorFlow.js too when asked: it has no room for large ones. */
export async function giveModel(peers: Peers, model: ModelConfig, batch: number, both: boolean): Promise<void> {
  for (const peer of both ? [peers.torch, peers.tfjs] : [peers.torch])
    if (typeof peer !== 'string') await peer.ask({ model, batch });
}
