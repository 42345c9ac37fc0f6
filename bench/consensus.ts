// Owns the consensus benchmark: four authorities as processes on loopback. Proposal to final, the pace with one of four down,
// the time to the next block after a partition heals and, when asked, block intervals while audits run. Last line: JSON.

import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { present } from '../base/check.ts';
import { systemClock } from '../node/clock.ts';
import type { HeightReport } from '../node/consensus-options.ts';
import type { FoundedNode } from '../node/founding.ts';
import {
  type Stage,
  acceptedRounds,
  foundSmallNetwork,
  heightOf,
  kill,
  openStage,
  reaches,
  startProcess,
  waitFor,
} from '../test/cluster/harness.ts';
import { type Mesh, openMesh } from '../test/cluster/links.ts';
import { round2 } from './timing.ts';

const AUTHORITIES = 4;
const POLL_MS = 20;

/** Where each node's log ends now, so that a phase can be read by itself. */
function marks(stage: Stage, nodes: readonly FoundedNode[]): number[] {
  return nodes.map(({ name }) => statSync(join(stage.directory, `${name}.log`)).size);
}

/** Heights that nodes decided themselves since the marks. */
function heightsSince(stage: Stage, nodes: readonly FoundedNode[], from: readonly number[]): HeightReport[] {
  return nodes.flatMap(({ name }, index) => {
    const path = join(stage.directory, `${name}.log`);
    const start = present(from[index], 'mark');
    const bytes = Buffer.alloc(statSync(path).size - start);
    const file = openSync(path, 'r');
    readSync(file, bytes, 0, bytes.length, start);
    closeSync(file);
    const lines = bytes.toString('utf8').split('\n');
    // The first and the last line may be cut.
    return lines
      .slice(1, -1)
      .flatMap((line) => (line.includes('"msg":"height"') ? [JSON.parse(line) as HeightReport] : []));
  });
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return round2(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
}

/** Decides blocks undisturbed for so long; what the nodes logged. */
async function observe(stage: Stage, nodes: readonly FoundedNode[], seconds: number): Promise<HeightReport[]> {
  const from = marks(stage, nodes);
  await systemClock.sleep(seconds * 1_000);
  return heightsSince(stage, nodes, from).filter(({ synced }) => !synced);
}

/** Blocks a second that a node gains in so many seconds. */
async function pace(node: FoundedNode, seconds: number): Promise<number> {
  const start = systemClock.monotonic();
  const before = await heightOf(node);
  await systemClock.sleep(seconds * 1_000);
  const after = await heightOf(node);
  return ((after - before) * 1_000) / (systemClock.monotonic() - start);
}

/** Parts the four in two halves; the seconds from healing until every node has the next block. */
async function healTime(mesh: Mesh, nodes: readonly FoundedNode[], seconds: number): Promise<number> {
  mesh.part([
    [0, 1],
    [2, 3],
  ]);
  // What was decided already may still be on its way to a node's own disk.
  await systemClock.sleep(3_000);
  const stood = Math.max(...(await Promise.all(nodes.map(heightOf))));
  await systemClock.sleep((seconds - 3) * 1_000);
  const still = Math.max(...(await Promise.all(nodes.map(heightOf))));
  if (still !== stood) throw new Error(`two of four decided blocks: ${stood} to ${still}`);
  const start = systemClock.monotonic();
  mesh.heal();
  for (;;) {
    const heights = await Promise.all(nodes.map(heightOf));
    const took = (systemClock.monotonic() - start) / 1_000;
    if (heights.every((height) => height > stood)) return took;
    if (took > 60) throw new Error(`no block in ${took} s after healing: ${heights.join(' ')}`);
    await systemClock.sleep(POLL_MS);
  }
}

/** Starts the trainers and watches intervals while every round of theirs is audited by all four. */
async function withAudits(stage: Stage, nodes: readonly FoundedNode[], seconds: number): Promise<HeightReport[]> {
  const authorities = nodes.filter(({ isAuthority }) => isAuthority);
  for (const node of nodes) if (!node.isAuthority) startProcess(stage, node, ['--training']);
  const first = present(authorities[0], 'authority');
  await waitFor('an accepted round', 300_000, async () => ((await acceptedRounds(first)).length > 0 ? true : null));
  const before = (await acceptedRounds(first)).length;
  const heights = await observe(stage, authorities, seconds);
  console.log(`audits: ${(await acceptedRounds(first)).length - before} rounds accepted meanwhile`);
  return heights;
}

function report(what: string, heights: readonly HeightReport[]): Readonly<{ final: number[]; intervals: number[] }> {
  const final = heights.flatMap(({ finalityMs }) => finalityMs ?? []);
  const intervals = heights.map(({ intervalMs }) => intervalMs);
  const late = heights.filter(({ round }) => round > 0).length;
  console.log(
    `${what}: ${final.length} decisions, proposal to final p50 ${percentile(final, 0.5)} p99 ${percentile(final, 0.99)} ms, ` +
      `interval p50 ${percentile(intervals, 0.5)} p99 ${percentile(intervals, 0.99)} ms, ${late} beyond round 0`,
  );
  return { final, intervals };
}

/** Arguments: --seconds N of each phase (60), --partition N seconds (60), --audits for the phase with trainers. */
export async function main(args: readonly string[] = []): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '60' },
      partition: { type: 'string', default: '60' },
      audits: { type: 'boolean', default: false },
    },
  });
  const seconds = Number(values.seconds);
  const stage = openStage('bench-consensus');
  const abandon = (): void => {
    for (const { process: child } of stage.children) child.kill('SIGKILL');
    process.exit(1);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, abandon);
  const begun = systemClock.monotonic();
  const { nodes } = await foundSmallNetwork(stage, { authorities: AUTHORITIES, regularNodes: values.audits ? 2 : 0 });
  const authorities = nodes.slice(0, AUTHORITIES);
  const mesh = await openMesh(authorities);
  try {
    const children = authorities.map((node) => startProcess(stage, node, ['--log-level', 'DEBUG']));
    await Promise.all(authorities.map((node) => reaches(node, 5, 120_000)));
    const calm = report('calm', await observe(stage, authorities, seconds));
    let audited: ReturnType<typeof report> | null = null;
    if (values.audits) audited = report('with audits', await withAudits(stage, nodes, seconds));
    const healSeconds = await healTime(mesh, authorities, Number(values.partition));
    console.log(`partition of ${values.partition} s: next block on all four ${round2(healSeconds)} s after healing`);
    const victim = present(children[AUTHORITIES - 1], 'authority');
    await kill(victim);
    const oneDown = await pace(present(authorities[0], 'authority'), seconds);
    console.log(`one of four down: ${round2(oneDown)} blocks/s`);
    console.log(
      JSON.stringify({
        proposalToFinalP50Ms: percentile(calm.final, 0.5),
        proposalToFinalP99Ms: percentile(calm.final, 0.99),
        intervalP50Ms: percentile(calm.intervals, 0.5),
        intervalP99Ms: percentile(calm.intervals, 0.99),
        ...(audited === null ? {} : { auditIntervalP99Ms: percentile(audited.intervals, 0.99) }),
        oneDownBlocksPerSecond: round2(oneDown),
        healSeconds: round2(healSeconds),
        seconds: Math.round((systemClock.monotonic() - begun) / 1_000),
      }),
    );
  } finally {
    await stage.close();
    await mesh.close();
  }
}
