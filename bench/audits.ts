// Owns the benchmark of blocks under audits: four authorities as processes on loopback, block intervals while nobody audits
// and while all four re-execute training steps without pause, at a node's priority of audits and at that of its main thread, in
// turns of one run. Last line: JSON.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock } from '../node/clock.ts';
import type { HeightReport } from '../node/consensus-options.ts';
import { ENGINE_NICE } from '../node/limits.ts';
import { type Stage, foundSmallNetwork, openStage } from '../test/cluster/harness.ts';
import type { FromNode, ToNode } from './audits-node.ts';
import { round2 } from './timing.ts';

const AUTHORITIES = 4;
/** Blocks after a change of phase that belong to neither. */
const SETTLE_MS = 2_000;
const START_MS = 180_000;

type Node = Readonly<{
  child: ChildProcess;
  heights: HeightReport[];
  ready: Promise<void>;
  /** Begins or ends audits; what the phase before came to. */
  change(nice: number | null): Promise<Extract<FromNode, { kind: 'state' }>>;
}>;

function startAuthority(stage: Stage, name: string, configFile: string): Node {
  const folder = join(stage.directory, `${name}-claim`);
  mkdirSync(folder);
  const program = fileURLToPath(new URL('./audits-node.js', import.meta.url));
  // A session of its own, as nodes that are started one by one have: the scheduler divides processors among sessions.
  const child = spawn(process.execPath, [program, configFile, folder], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  });
  const heights: HeightReport[] = [];
  const waiting: ((state: Extract<FromNode, { kind: 'state' }>) => void)[] = [];
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (message: FromNode) => {
      if (message.kind === 'ready') resolve();
      else if (message.kind === 'height') heights.push(message.value);
      else waiting.shift()?.(message);
    });
    child.on('exit', (code) => reject(new Error(`${name} ended with ${code}`)));
    systemClock.after(START_MS, () => reject(new Error(`${name} not ready within ${START_MS} ms`)));
  });
  return {
    child,
    heights,
    ready,
    change: (nice) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        child.send({ audit: nice } satisfies ToNode);
      }),
  };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return round2(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
}

type Phase = { heights: HeightReport[]; steps: number; seconds: number; loopDelaysMs: number[] };
const phase = (): Phase => ({ heights: [], steps: 0, seconds: 0, loopDelaysMs: [] });

function report(what: string, { heights, steps, seconds, loopDelaysMs }: Phase) {
  const intervals = heights.map(({ intervalMs }) => intervalMs);
  const final = heights.flatMap(({ finalityMs }) => finalityMs ?? []);
  const said = {
    blocks: Math.round(heights.length / AUTHORITIES),
    intervalP50Ms: percentile(intervals, 0.5),
    intervalP99Ms: percentile(intervals, 0.99),
    finalP50Ms: percentile(final, 0.5),
    finalP99Ms: percentile(final, 0.99),
    laterRounds: heights.filter(({ round }) => round > 0).length,
    stepsPerSecond: round2(steps / seconds),
    loopDelayP99Ms: round2(Math.max(...loopDelaysMs)),
  };
  console.log(`${what}: ${JSON.stringify(said)}`);
  return said;
}

/** One turn: `nice` null is a calm one. Heights of its first seconds are left out. */
async function turn(nodes: readonly Node[], nice: number | null, seconds: number, into: Phase): Promise<string> {
  const begun = await Promise.all(nodes.map((node) => node.change(nice)));
  await systemClock.sleep(SETTLE_MS);
  for (const { heights } of nodes) heights.length = 0;
  await systemClock.sleep(seconds * 1_000);
  for (const { heights } of nodes) into.heights.push(...heights.filter(({ synced }) => !synced));
  const ended = await Promise.all(nodes.map((node) => node.change(null)));
  into.seconds += seconds + SETTLE_MS / 1_000;
  for (const { steps, loopDelayP99Ms } of ended) {
    into.steps += steps;
    into.loopDelaysMs.push(loopDelayP99Ms);
  }
  return begun[0]?.priority ?? '';
}

/** Arguments: --seconds N of one turn (28), --turns N of each kind (6), --nice N of the audit threads (what a node takes). */
export async function main(args: readonly string[] = []): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '28' },
      turns: { type: 'string', default: '6' },
      nice: { type: 'string', default: String(ENGINE_NICE.audit) },
    },
  });
  const [seconds, turns, nice] = [Number(values.seconds), Number(values.turns), Number(values.nice)];
  const stage = openStage('bench-audits');
  const nodes: Node[] = [];
  const end = (): void => {
    for (const { child } of nodes) child.kill('SIGKILL');
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      end();
      process.exit(1);
    });
  }
  try {
    const plan = { authorities: AUTHORITIES, regularNodes: 0, vocab: 1_024, modelSize: 1_000_000, sequenceLength: 128 };
    const founded = await foundSmallNetwork(stage, { ...plan, batchSize: 8, stepsPerRound: 16 });
    for (const { name, configFile } of founded.nodes) nodes.push(startAuthority(stage, name, configFile));
    await Promise.all(nodes.map(({ ready }) => ready));
    await systemClock.sleep(10_000);
    const [calm, audited, equal] = [phase(), phase(), phase()];
    let priority = '';
    for (let i = 0; i < turns; i++) {
      await turn(nodes, null, seconds, calm);
      priority = await turn(nodes, nice, seconds, audited);
      await turn(nodes, 0, seconds, equal);
    }
    const without = report('calm', calm);
    const withAudits = report(`four audits (${priority})`, audited);
    const asStarted = report('four audits at the priority of the main thread', equal);
    const ratio = (one: typeof without): number => round2(one.intervalP99Ms / without.intervalP99Ms);
    const load = round2(loadavg()[0] ?? 0);
    console.log(
      JSON.stringify({
        nice,
        priority,
        intervalP99Ratio: ratio(withAudits),
        intervalP99RatioAtEqualPriority: ratio(asStarted),
        calm: without,
        audits: withAudits,
        auditsAtEqualPriority: asStarted,
        load,
      }),
    );
  } finally {
    end();
    await stage.close();
  }
}
