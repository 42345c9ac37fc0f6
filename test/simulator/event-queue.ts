// Owns the order of things in a simulated world: by time, then by arrival. And the hash every fault is drawn from, so that
// taking one fault away leaves all others as they were.

export type Queued<T> = Readonly<{ time: number; sequence: number; item: T }>;

/** Binary heap on (time, sequence). */
export class EventQueue<T> {
  readonly #heap: Queued<T>[] = [];
  #sequence = 0;

  get size(): number {
    return this.#heap.length;
  }

  push(time: number, item: T): void {
    const heap = this.#heap;
    const entry: Queued<T> = { time, sequence: this.#sequence++, item };
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Queued<T>;
      if (!isBefore(entry, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  pop(): Queued<T> | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Queued<T>, heap[child] as Queued<T>)) child++;
      const below = heap[child] as Queued<T>;
      if (!isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Queued<unknown>, b: Queued<unknown>): boolean {
  return a.time < b.time || (a.time === b.time && a.sequence < b.sequence);
}

function mixIn(state: number, part: number): number {
  let k = Math.imul(part ^ (part >>> 16), 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = state ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** 32-bit hash of up to seven small integers (murmur3 over a running state). Fixed arity: it runs several times an event. */
export function draw(a: number, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0): number {
  let state = mixIn(mixIn(mixIn(mixIn(0x9e3779b9, a), b), c), d);
  state = mixIn(mixIn(mixIn(state, e), f), g);
  state ^= state >>> 16;
  state = Math.imul(state, 0x85ebca6b);
  state ^= state >>> 13;
  state = Math.imul(state, 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}

/** 32-bit hash of a text. */
export function drawText(text: string): number {
  let state = 7;
  for (let i = 0; i < text.length; i++) state = (Math.imul(state, 31) + text.charCodeAt(i)) | 0;
  return draw(state);
}
