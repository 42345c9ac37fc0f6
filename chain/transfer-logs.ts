// Owns transfers of the coin shown as logs (ERC-7528 address, ERC-20 Transfer event), in order with the contracts' own.

import type { EVMResult, Message } from '@ethereumjs/evm';
import { concat, toHex, u256be } from '../base/bytes.ts';
import type { Address, Hash, RawLog } from './api.ts';
import type { Machine } from './evm.ts';
import { TRANSFER_TOPIC } from './receipt.ts';

/** Emitter that stands for the native coin (ERC-7528). */
const COIN: Address = `0x${'ee'.repeat(20)}`;

/** Counts the logs of a block, those of failed frames too, as go-ethereum numbers them. */
export type LogCounter = { next: number };
export type IndexedLog = RawLog & Readonly<{ logIndex: number }>;

type Draft = { address: Address; topics: Hash[]; data: Uint8Array; logIndex: number };
type Frame = { logs: Draft[]; creation: Draft | null };
type LogStep = Readonly<{
  opcode: Readonly<{ name: string }>;
  stack: readonly bigint[];
  memory: Uint8Array;
  address: Readonly<{ toString(): string }>;
}>;

function word(address: string): Hash {
  return `0x${address.slice(2).padStart(64, '0')}`;
}

/** Collects from now on: logs of frames that failed are dropped. `stop` must be called. */
export function watchTransfers(
  machine: Machine,
  counter: LogCounter,
): Readonly<{ logs(): readonly IndexedLog[]; stop(): void }> {
  const { events } = machine.evm;
  const bottom: Frame = { logs: [], creation: null };
  const stack: Frame[] = [bottom];
  const onEnter = (message: Message): void => {
    const frame: Frame = { logs: [], creation: null };
    stack.push(frame);
    if (message.delegatecall || message.value === 0n) return;
    const log: Draft = {
      address: COIN,
      topics: [TRANSFER_TOPIC, word(message.caller.toString()), word(message.to?.toString() ?? '0x')],
      data: u256be(message.value),
      logIndex: counter.next++,
    };
    if (message.to === undefined) frame.creation = log;
    frame.logs.push(log);
  };
  const onExit = (result: EVMResult): void => {
    const frame = stack.pop();
    if (frame === undefined || result.execResult.exceptionError !== undefined) return;
    if (frame.creation !== null) frame.creation.topics[2] = word(result.createdAddress?.toString() ?? '0x');
    for (const log of frame.logs) stack.at(-1)?.logs.push(log);
  };
  /** A contract that ends leaves its coins to another. */
  const onEnd = async (address: Address, heir: bigint): Promise<void> => {
    const balance = (await machine.journal.account(address))?.balance ?? 0n;
    if (balance === 0n) return;
    const to = word(toHex(u256be(heir).subarray(12)));
    const topics = [TRANSFER_TOPIC, word(address), to];
    stack.at(-1)?.logs.push({ address: COIN, topics, data: u256be(balance), logIndex: counter.next++ });
  };
  // The library waits for listeners that take a second argument.
  const onStep = (step: LogStep, resolve?: () => void): void => {
    const { opcode, stack: words } = step;
    if (opcode.name === 'SELFDESTRUCT') {
      void onEnd(step.address.toString() as Address, words.at(-1) ?? 0n).then(() => resolve?.());
      return;
    }
    if (/^LOG[0-4]$/.test(opcode.name)) onLog(step);
    resolve?.();
  };
  const onLog = ({ opcode, stack: words, memory, address }: LogStep): void => {
    const count = Number(opcode.name.at(-1));
    const [offset = 0n, length = 0n, ...rest] = [...words].reverse();
    // A range this long cannot be paid for; the frame is about to fail.
    if (offset > 0xffff_ffffn || length > 0xff_ffffn) return;
    const held = memory.subarray(Number(offset), Number(offset + length));
    stack.at(-1)?.logs.push({
      address: address.toString() as Address,
      topics: rest.slice(0, count).map((topic) => toHex(u256be(topic))),
      data: concat(held, new Uint8Array(Number(length) - held.length)),
      logIndex: counter.next++,
    });
  };
  events.on('beforeMessage', onEnter);
  events.on('afterMessage', onExit);
  events.on('step', onStep);
  return {
    logs: () => bottom.logs,
    stop() {
      events.off('beforeMessage', onEnter);
      events.off('afterMessage', onExit);
      events.off('step', onStep);
    },
  };
}
