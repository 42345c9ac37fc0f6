// Owns the turns long executions give to everything else: the EVM library awaits only settled promises, so without them
// one endless loop would hold the thread, its timers and its sockets until the gas is gone.

import type { EVM } from '@ethereumjs/evm';
import { check } from '../base/check.ts';

/** Jumps and message frames between turns. Code without jumps is at most 24 KB long; a frame may run a precompile. */
export type Turns = Readonly<{ jumps: number; frames: number }>;
/** Calls of anyone: about 15 ms of a tight loop. */
export const CALL_TURNS: Turns = { jumps: 2_048, frames: 16 };
/** Blocks: about 50 ms, so that building one is not stretched over its time budget by whoever asks meanwhile. */
export const BLOCK_TURNS: Turns = { jumps: 8_192, frames: 512 };

const JUMP = 0x56;
const JUMPI = 0x57;

/** Lets timers and sockets run once. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

type Entry = Readonly<{
  opcodeInfo: Readonly<{ isAsync: boolean; code: number }>;
  opHandler: (...args: never[]) => unknown;
}>;

/** Makes the jumps of one EVM instance take a turn now and then. Their meaning and gas stay the library's. */
export function takeTurnsAtJumps(evm: EVM, every: number): void {
  const { _opcodeMap: table } = evm as unknown as { _opcodeMap?: Entry[] };
  let jumps = 0;
  for (const code of [JUMP, JUMPI]) {
    const entry = table?.[code];
    check(table !== undefined && entry?.opcodeInfo.code === code, 'the EVM library keeps its opcode table elsewhere');
    const { opcodeInfo, opHandler } = entry;
    table[code] = {
      ...entry,
      // The interpreter awaits handlers of opcodes marked so.
      opcodeInfo: Object.assign(Object.create(Object.getPrototypeOf(opcodeInfo)), opcodeInfo, { isAsync: true }),
      opHandler(...args) {
        opHandler(...args);
        jumps++;
        return jumps % every === 0 ? turn() : undefined;
      },
    };
  }
}
