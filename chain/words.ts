// Owns the opcodes that turn words into bytes and back: MLOAD, MSTORE, SLOAD. The library goes by way of hexadecimal text, a tenth of
// a token transfer's time; what they do and cost is the same.

import type { EVM } from '@ethereumjs/evm';
import { toHex } from '../base/bytes.ts';
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
const LIMB = 64n;
const LIMB_BYTES = 8;

/** Writes a word below 2^256 big-endian. */
function writeWord(view: DataView, word: bigint): void {
  let left = word;
  for (let at = WORD - LIMB_BYTES; at >= 0; at -= LIMB_BYTES) {
    view.setBigUint64(at, left); // its lowest 64 bits
    left >>= LIMB;
  }
}

/** A word from up to 32 big-endian bytes. */
export function wordOf(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  if (bytes.length !== WORD) return BigInt(toHex(bytes));
  const view = new DataView(bytes.buffer, bytes.byteOffset, WORD);
  let word = view.getBigUint64(0);
  for (let at = LIMB_BYTES; at < WORD; at += LIMB_BYTES) word = (word << LIMB) | view.getBigUint64(at);
  return word;
}

/** 32 big-endian bytes of a word below 2^256. */
export function wordBytes(word: bigint): Uint8Array {
  const bytes = new Uint8Array(WORD);
  writeWord(new DataView(bytes.buffer), word);
  return bytes;
}

/** Copied by memory before anything else runs. */
const scratch = new Uint8Array(WORD);
const scratchView = new DataView(scratch.buffer);

const MLOAD = 0x51;
const MSTORE = 0x52;
const SLOAD = 0x54;
const HANDLERS: Readonly<Record<number, (state: State) => unknown>> = {
  [MLOAD]({ stack, memory }) {
    stack.push(wordOf(memory.read(Number(stack.pop()), WORD, true)));
  },
  [MSTORE]({ stack, memory }) {
    const offset = stack.pop();
    writeWord(scratchView, stack.pop());
    memory.write(Number(offset), WORD, scratch);
  },
  async [SLOAD]({ stack, interpreter }) {
    stack.push(wordOf(await interpreter.storageLoad(wordBytes(stack.pop()))));
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
