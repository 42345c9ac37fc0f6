// Owns the turns long executions give to everything else: the EVM library awaits only settled promises, so without them
// one endless loop would hold the thread, its timers and its sockets until the gas is gone.

import type { EVM } from '@ethereumjs/evm';
import { check } from '../base/check.ts';

/** Jumps between turns: about 15 ms of a tight loop. Code without jumps is at most 24 KB long. */
const JUMPS = 2_048;
/** Message frames between turns; each may run a precompile of some milliseconds. */
export const FRAMES = 16;

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
export function takeTurnsAtJumps(evm: EVM): void {
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
        return jumps % JUMPS === 0 ? turn() : undefined;
      },
    };
  }
}
