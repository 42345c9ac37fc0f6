// Owns the allocator over the WebAssembly backend's memory.

import { present } from '../base/check.ts';
import { FaultError, fault } from '../base/fault.ts';
import { MAX_WASM_BYTES } from './limits.ts';
import { ALIGNMENT, roundUp } from './memory-plan.ts';
import type { WasmMemory } from './wasm-api.ts';

const PAGE = 65_536;

export type Region = { start: number; size: number };

/** First-fit allocator over a growing memory; regions are 64-byte aligned and handed out zeroed. */
export class Heap {
  readonly memory: WasmMemory;
  readonly #free: Region[] = [];
  #end: number;

  constructor(memory: WasmMemory, start: number) {
    this.memory = memory;
    this.#end = start;
  }

  take(bytes: number): Region {
    const size = Math.max(ALIGNMENT, roundUp(bytes, ALIGNMENT));
    const at = this.#free.findIndex((region) => region.size >= size);
    if (at >= 0) {
      const free = present(this.#free[at], 'free region');
      const region = { start: free.start, size };
      if (free.size === size) this.#free.splice(at, 1);
      else this.#free[at] = { start: free.start + size, size: free.size - size };
      new Uint8Array(this.memory.buffer, region.start, size).fill(0);
      return region;
    }
    this.#grow(this.#end + size);
    const region = { start: this.#end, size };
    this.#end += size;
    return region;
  }

  #grow(end: number): void {
    const refuse = () => {
      throw new FaultError(fault('engine/memory', `wasm memory of ${end} bytes cannot be had`, { bytes: end }));
    };
    if (end > MAX_WASM_BYTES) refuse();
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / PAGE);
    if (missing <= 0) return;
    try {
      this.memory.grow(missing);
    } catch {
      refuse();
    }
  }

  give(region: Region): void {
    this.#free.push(region);
    this.#free.sort((a, b) => a.start - b.start);
    for (let i = this.#free.length - 1; i > 0; i--) {
      const [left, right] = [present(this.#free[i - 1], 'left'), present(this.#free[i], 'right')];
      if (left.start + left.size !== right.start) continue;
      this.#free[i - 1] = { start: left.start, size: left.size + right.size };
      this.#free.splice(i, 1);
    }
  }
}
