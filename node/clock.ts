// Owns time: the only file that reads the system's clocks. Everything else is handed a Clock.

export type Timer = Readonly<{ cancel(): void }>;

/** Wall time for block timestamps, monotonic time for durations, timers on the monotonic clock. */
export type Clock = Readonly<{
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes backwards. */
  monotonic(): number;
  after(ms: number, action: () => void): Timer;
  every(ms: number, action: () => void): Timer;
  sleep(ms: number): Promise<void>;
}>;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, action) {
    const handle = setTimeout(action, ms);
    return { cancel: () => clearTimeout(handle) };
  },
  every(ms, action) {
    const handle = setInterval(action, ms);
    return { cancel: () => clearInterval(handle) };
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};
