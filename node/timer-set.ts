// Owns a group of timers that end together.

import type { Clock, Timer } from './clock.ts';

export type TimerSet = Readonly<{
  after(ms: number, action: () => void): void;
  every(ms: number, action: () => void): void;
  cancelAll(): void;
}>;

export function timerSet(clock: Clock): TimerSet {
  const running = new Set<Timer>();
  return {
    after(ms, action) {
      const timer = clock.after(ms, () => {
        running.delete(timer);
        action();
      });
      running.add(timer);
    },
    every: (ms, action) => void running.add(clock.every(ms, action)),
    cancelAll() {
      for (const timer of running) timer.cancel();
      running.clear();
    },
  };
}
