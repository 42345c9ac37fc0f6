// Owns the values built so far in a simulated world: what a liar may name, and the second each is stamped with.

/** Heights that are kept. */
const KEPT_HEIGHTS = 64;

export class Values {
  readonly #byHeight = new Map<number, string[]>();
  readonly stamps = new Map<string, number>();

  add(height: number, value: string, stamp: number): void {
    const known = this.#byHeight.get(height);
    if (known === undefined) this.#byHeight.set(height, [value]);
    else known.push(value);
    this.stamps.set(value, stamp);
    for (const old of this.#byHeight.get(height - KEPT_HEIGHTS) ?? []) this.stamps.delete(old);
    this.#byHeight.delete(height - KEPT_HEIGHTS);
  }

  at(height: number): readonly string[] | undefined {
    return this.#byHeight.get(height);
  }
}
