// Owns how benchmarks take and sum up times: wall and processor milliseconds, medians, and the choice between the two.

import { present } from '../base/check.ts';

/** Milliseconds of single runs: on the wall clock, and of the whole process on its processors. */
export type Times = Readonly<{ wall: number[]; cpu: number[] }>;

export function noTimes(): Times {
  return { wall: [], cpu: [] };
}

/** Runs `work` and appends how long it took. */
export function time(into: Times, work: () => void): void {
  const busy = process.cpuUsage();
  const start = performance.now();
  work();
  into.wall.push(performance.now() - start);
  const { user, system } = process.cpuUsage(busy);
  into.cpu.push((user + system) / 1000);
}

export function append(into: Times, more: Times): void {
  into.wall.push(...more.wall);
  into.cpu.push(...more.cpu);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const high = present(sorted[middle], 'at least one time');
  return sorted.length % 2 === 1 ? high : (high + present(sorted[middle - 1], 'time')) / 2;
}

export type Clock = 'wall' | 'cpu';

/** Other programs stretch the wall clock of a single thread; above this much, processor time is the fair figure. */
const STRETCHED = 1.15;

/** The clock to trust for single-threaded runs: 'cpu' where the machine was shared while they ran. */
export function trustedClock(single: readonly Times[]): Clock {
  const stretch = single.map(({ wall, cpu }) => median(wall) / median(cpu));
  return median(stretch) > STRETCHED ? 'cpu' : 'wall';
}

/** How many times faster `ours` is than `theirs`, by medians; null when one of them did not run. */
export function ratio(theirs: Times | undefined, ours: Times | undefined, clock: Clock): number | null {
  if (theirs === undefined || ours === undefined || theirs.wall.length === 0 || ours.wall.length === 0) return null;
  return round2(median(theirs[clock]) / median(ours[clock]));
}

export const round2 = (value: number): number => Math.round(100 * value) / 100;
