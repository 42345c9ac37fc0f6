// Owns a queue between one producer and one consumer that iterates: what is pushed comes out in order. Its length is
// bounded by the producer, which ends after a known number of events.

export type EventQueue<T> = Readonly<{
  push(event: T): void;
  /** No more events. */
  end(): void;
  /** The consumer's iteration throws `error` after what was pushed before. */
  fail(error: unknown): void;
  /** True once the consumer stopped iterating. */
  left(): boolean;
  iterable: AsyncIterable<T>;
}>;

type State = { events: unknown[]; ended: boolean; error: unknown; failed: boolean; left: boolean; wake: () => void };

export function createEventQueue<T>(): EventQueue<T> {
  const state: State = { events: [], ended: false, error: null, failed: false, left: false, wake: () => undefined };

  async function* iterate(): AsyncGenerator<T> {
    try {
      for (;;) {
        while (state.events.length > 0) yield state.events.shift() as T;
        if (state.failed) throw state.error;
        if (state.ended) return;
        await new Promise<void>((resolve) => {
          state.wake = resolve;
        });
      }
    } finally {
      state.left = true;
    }
  }

  return {
    push(event) {
      if (state.ended) return;
      state.events.push(event);
      state.wake();
    },
    end() {
      state.ended = true;
      state.wake();
    },
    fail(error) {
      state.failed = true;
      state.ended = true;
      state.error = error;
      state.wake();
    },
    left: () => state.left,
    iterable: { [Symbol.asyncIterator]: iterate },
  };
}
