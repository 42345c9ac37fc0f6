// Owns talking to a peer implementation in its own process: one JSON request a line, one JSON answer a line.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Times } from './timing.ts';

export type Peer = Readonly<{
  /** The first line it wrote: what it is. */
  about: Readonly<Record<string, unknown>>;
  ask(request: object): Promise<Record<string, unknown>>;
  /** Times of so many runs of a kind of work. */
  run(kind: string, threads: number, repeats: number): Promise<Times>;
  close(): void;
}>;

const PATIENCE_MS = 300_000;

/** Starts a peer, or says why it cannot run. */
export async function startPeer(command: string, args: readonly string[]): Promise<Peer | string> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const errors: string[] = [];
  child.stderr.on('data', (bytes: Buffer) => errors.push(bytes.toString()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const gone = new Promise<never>((_, reject) => {
    const why = () => errors.join('').trim().split('\n').at(-1) ?? '';
    child.on('error', (error) => reject(new Error(`${command}: ${error.message}`)));
    child.on('exit', (code) => reject(new Error(`${command} ended with ${code}: ${why()}`)));
  });
  gone.catch(() => undefined);
  const answer = async (): Promise<Record<string, unknown>> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${command} did not answer`)), PATIENCE_MS);
    });
    try {
      for (;;) {
        const { value, done } = await Promise.race([lines.next(), gone, late]);
        if (done === true) return await gone;
        if (value.startsWith('{')) return JSON.parse(value) as Record<string, unknown>;
      }
    } finally {
      clearTimeout(timer);
    }
  };
  const ask = async (request: object): Promise<Record<string, unknown>> => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    return answer();
  };
  try {
    const about = await answer();
    return {
      about,
      ask,
      run: async (kind, threads, repeats) => (await ask({ kind, threads, repeats })) as unknown as Times,
      close: () => child.kill(),
    };
  } catch (error) {
    child.kill();
    return error instanceof Error ? error.message : String(error);
  }
}
