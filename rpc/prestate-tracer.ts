// Owns geth's prestateTracer: the accounts and slots a message touches as they stood before it; with diffMode what it changed.

import { toHex } from '../base/bytes.ts';
import type { Address, Hash, StateReads, TraceStep } from '../chain/api.ts';
import { refused } from './errors.ts';
import { quantityOf } from './format.ts';
import type { RpcLimits } from './limits.ts';
import type { Tracer } from './tracer.ts';

const ZERO_WORD: Hash = `0x${'00'.repeat(32)}`;
/** Opcodes that name an account, and where on the stack it is, from the top. */
const NAMES_ACCOUNT: Readonly<Record<string, number>> = {
  BALANCE: 0,
  EXTCODESIZE: 0,
  EXTCODECOPY: 0,
  EXTCODEHASH: 0,
  SELFDESTRUCT: 0,
  CALL: 1,
  CALLCODE: 1,
  DELEGATECALL: 1,
  STATICCALL: 1,
};

type Shown = Readonly<{ balance: bigint; nonce: number; code: string; storage: ReadonlyMap<Hash, Hash> }>;
type States = ReadonlyMap<Address, Shown | null>;
type Json = Record<string, unknown>;

export function prestateTracer(diffMode: boolean, limits: RpcLimits): Tracer {
  const touched = new Map<Address, Set<Hash>>();
  const created = new Set<Address>();
  const before = new Map<Address, Shown | null>();
  const after = new Map<Address, Shown | null>();
  let size = 0;
  const touch = (address: Address, slot: Hash | null = null): void => {
    if (size > limits.traceSteps) return;
    const slots = touched.get(address) ?? new Set<Hash>();
    if (!touched.has(address)) size++;
    touched.set(address, slots);
    if (slot === null || slots.has(slot)) return;
    slots.add(slot);
    size++;
  };
  return {
    listener: {
      enter({ from, to }) {
        touch(from);
        if (to !== null) touch(to);
      },
      exit({ createdAddress }) {
        if (createdAddress === null) return;
        touch(createdAddress);
        created.add(createdAddress);
      },
      step(step) {
        const top = step.stack.at(-1);
        if ((step.op === 'SLOAD' || step.op === 'SSTORE') && top !== undefined) touch(step.address, wordOf(top));
        const named = namedAccount(step);
        if (named !== null) touch(named);
      },
      async states(when, reads) {
        if (when === 'after') for (const address of reads.written) touch(address);
        const into = when === 'after' ? after : before;
        for (const [address, slots] of touched) into.set(address, await shown(reads, address, slots));
      },
    },
    result() {
      if (size > limits.traceSteps) throw refused(`more than ${limits.traceSteps} accounts and slots`);
      if (diffMode) return difference(before, after);
      return Object.fromEntries(
        [...before].filter(([address, state]) => state !== null || !created.has(address)).map(whole),
      );
    },
  };
}

function wordOf(value: bigint): Hash {
  return `0x${value.toString(16).padStart(64, '0')}`;
}

function namedAccount({ op, stack }: TraceStep): Address | null {
  const depth = NAMES_ACCOUNT[op];
  const value = depth === undefined ? undefined : stack.at(-1 - depth);
  return value === undefined ? null : `0x${wordOf(value).slice(26)}`;
}

async function shown(reads: StateReads, address: Address, slots: ReadonlySet<Hash>): Promise<Shown | null> {
  const account = await reads.account(address);
  if (account === null) return null;
  const storage = new Map<Hash, Hash>();
  for (const slot of slots) storage.set(slot, await reads.storage(address, slot));
  return { ...account, code: toHex(await reads.code(address)), storage };
}

/** An account as it stood; what is empty is left out, but for the balance. */
function whole([address, state]: readonly [Address, Shown | null]): [Address, Json] {
  const json: Json = { balance: quantityOf(state?.balance ?? 0n) };
  if (state === null) return [address, json];
  if (state.code !== '0x') json.code = state.code;
  if (state.nonce !== 0) json.nonce = state.nonce;
  if (state.storage.size > 0) json.storage = Object.fromEntries(state.storage);
  return [address, json];
}

/** geth's diff: `pre` holds changed accounts with the slots that changed, `post` only what is different there. */
function difference(before: States, after: States): Json {
  const pre: Json = {};
  const post: Json = {};
  for (const [address, old] of before) {
    const now = after.get(address) ?? null;
    const changes = changed(old, now);
    if (Object.keys(changes).length === 0 && (old === null) === (now === null)) continue;
    if (old !== null) {
      const { storage: _, ...json } = whole([address, old])[1];
      const slots = [...old.storage].filter(([slot, value]) => value !== ZERO_WORD && value !== now?.storage.get(slot));
      pre[address] = slots.length === 0 ? json : { ...json, storage: Object.fromEntries(slots) };
    }
    if (now !== null) post[address] = changes;
  }
  return { post, pre };
}

function changed(old: Shown | null, now: Shown | null): Json {
  const json: Json = {};
  if (now === null) return json;
  if (now.balance !== (old?.balance ?? 0n)) json.balance = quantityOf(now.balance);
  if (now.nonce !== (old?.nonce ?? 0)) json.nonce = now.nonce;
  if (now.code !== (old?.code ?? '0x')) json.code = now.code;
  const slots = [...now.storage].filter(
    ([slot, value]) => value !== ZERO_WORD && value !== (old?.storage.get(slot) ?? ZERO_WORD),
  );
  if (slots.length > 0) json.storage = Object.fromEntries(slots);
  // A slot set to zero is a change of the account though nothing of it is left to show.
  const cleared = [...(old?.storage ?? [])].some(
    ([slot, value]) => value !== ZERO_WORD && now.storage.get(slot) === ZERO_WORD,
  );
  if (cleared && slots.length === 0) json.storage = {};
  return json;
}
