// Owns the order of work that must not overlap: jobs run one at a time, in the order they came, from a bounded line.

import { check } from '../base/check.ts';
import { QUEUE_LENGTH } from './limits.ts';

export type Queue = Readonly<{
  /** Runs `job` after every earlier one has settled. Throws when the line is full. */
  run<T>(job: () => Promise<T>): Promise<T>;
  /** Resolves when the line is empty. */
  idle(): Promise<void>;
}>;

export function createQueue(): Queue {
  let tail: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return {
    run(job) {
      check(waiting < QUEUE_LENGTH, 'execution queue: too many jobs');
      waiting++;
      const result = tail.then(job);
      tail = result.then(
        () => waiting--,
        () => waiting--,
      );
      return result;
    },
    async idle() {
      await tail;
    },
  };
}

/** A few equal things, lent one at a time. */
export type Lender<T> = Readonly<{
  lend<R>(use: (thing: T) => Promise<R>): Promise<R>;
  /** How many wait for one. */
  waiting(): number;
}>;

/** Makes up to `size` things as they are needed; one whose use threw is replaced. */
export function createLender<T>(size: number, make: () => Promise<T>): Lender<T> {
  const free: T[] = [];
  const line: (() => void)[] = [];
  let made = 0;
  return {
    waiting: () => line.length,
    async lend(use) {
      while (free.length === 0 && made >= size) await new Promise<void>((resolve) => line.push(resolve));
      let thing = free.pop();
      if (thing === undefined) {
        made++;
        try {
          thing = await make();
        } catch (error) {
          made--;
          line.shift()?.();
          throw error;
        }
      }
      try {
        const result = await use(thing);
        free.push(thing);
        return result;
      } catch (error) {
        made--;
        throw error;
      } finally {
        line.shift()?.();
      }
    },
  };
}
