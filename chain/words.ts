// Owns the opcodes that turn words into bytes and back: MLOAD, MSTORE, SLOAD. The library goes by way of hexadecimal text, a tenth of
// a token transfer's time; what they do and cost is the same.

import type { EVM } from '@ethereumjs/evm';
import { putU256be, toBigInt, u256be } from '../base/bytes.ts';
import { check } from '../base/check.ts';

type State = Readonly<{
  stack: Readonly<{ pop(): bigint; push(word: bigint): void }>;
  memory: Readonly<{
    read(offset: number, size: number, avoidCopy?: boolean): Uint8Array;
    write(offset: number, size: number, value: Uint8Array): void;
  }>;
  interpreter: Readonly<{ storageLoad(key: Uint8Array): Promise<Uint8Array> }>;
}>;
type Entry = Readonly<{ opcodeInfo: Readonly<{ code: number }>; opHandler: (...args: never[]) => unknown }>;

const WORD = 32;

/** Copied by memory before anything else runs. */
const scratch = new Uint8Array(WORD);
const scratchView = new DataView(scratch.buffer);

const MLOAD = 0x51;
const MSTORE = 0x52;
const SLOAD = 0x54;
const HANDLERS: Readonly<Record<number, (state: State) => unknown>> = {
  [MLOAD]({ stack, memory }) {
    stack.push(toBigInt(memory.read(Number(stack.pop()), WORD, true)));
  },
  [MSTORE]({ stack, memory }) {
    const offset = stack.pop();
    putU256be(scratchView, stack.pop());
    memory.write(Number(offset), WORD, scratch);
  },
  async [SLOAD]({ stack, interpreter }) {
    stack.push(toBigInt(await interpreter.storageLoad(u256be(stack.pop()))));
  },
};

/** Gives one EVM instance these handlers; gas stays the library's. */
export function takeWordsDirectly(evm: EVM): void {
  const { _opcodeMap: table } = evm as unknown as { _opcodeMap?: Entry[] };
  for (const [text, handler] of Object.entries(HANDLERS)) {
    const code = Number(text);
    const entry = table?.[code];
    check(table !== undefined && entry?.opcodeInfo.code === code, 'the EVM library keeps its opcode table elsewhere');
    table[code] = { ...entry, opHandler: handler as Entry['opHandler'] };
  }
}
