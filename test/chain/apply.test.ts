// Transactions as blocks run them (chain/apply.ts, chain/interpreter.ts) against the library's own frame and loop: equal state,
// gas and logs, Prague rules.

import test from 'ava';
import type { EventEmitter } from 'node:events';
import { RLP } from '@ethereumjs/rlp';
import { concat, fromHex, type Hex, toHex, u256be } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { addressOfSecret } from '../../base/keys.ts';
import { prng } from '../../base/prng.ts';
import { EMPTY_ACCOUNT } from '../../chain/account.ts';
import type { Address, Transaction } from '../../chain/api.ts';
import { applyTransaction } from '../../chain/apply.ts';
import {
  createCommon,
  createMachine,
  evmAddress,
  executionPlace,
  type ExecutionHeader,
  type Machine,
  rawLogs,
  runTransaction,
  typedTransaction,
} from '../../chain/evm.ts';
import { keccak256 } from '../../chain/keccak.ts';
import { decodeRlp, encodeRlp, type Item } from '../../chain/rlp.ts';
import { decodeTransaction } from '../../chain/transaction.ts';
import { signTransaction } from '../../node/wallet.ts';

const CHAIN = 504_101;
const SECRETS = [1, 2, 3].map((n) => u256be(BigInt(n)));
const SENDERS = SECRETS.map(addressOfSecret);
const AUTHOR: Address = `0x${'aa'.repeat(20)}`;
const FRESH: Address = `0x${'bb'.repeat(20)}`;
const HEADER: ExecutionHeader = {
  parentHash: `0x${'11'.repeat(32)}`,
  coinbase: AUTHOR,
  number: 7,
  gasLimit: 30_000_000n,
  timestamp: 1_700_000_000,
  mixHash: `0x${'22'.repeat(32)}`,
  baseFeePerGas: 7n,
  excessBlobGas: 0n,
};

/** Contracts by what they do with a call: see each code. */
const CODES: readonly Readonly<{ name: string; code: Hex }>[] = [
  { name: 'counts in slot 0 and logs the count', code: '0x5f54600101805f555f5260205fa000' },
  { name: 'clears slot 0 (refund)', code: '0x5f5f5500' },
  { name: 'loops down from the first word of calldata', code: '0x5f355b600190038060025700' },
  { name: 'reverts with a word', code: '0x602a5f5260205ffd' },
  { name: 'jumps into push data', code: '0x600456605b00' },
  { name: 'runs an undefined opcode', code: '0x0c' },
  { name: 'gives its coins to the author and ends', code: `0x73${'aa'.repeat(20)}ff` },
  { name: 'makes a contract that ends at once', code: '0x6133ff5f526002601e34f0505f5f5f5f5f845af100' },
  { name: 'keeps and reads transient storage', code: '0x60055f5d5f5c5f5500' },
  { name: 'asks the identity precompile', code: '0x60205f60205f60045afa5f5260205ff3' },
];
const contractAt = (index: number): Address => `0x${'c0'.repeat(19)}${(index + 16).toString(16)}`;

async function prepared(alone: boolean): Promise<Machine> {
  const made = await createMachine(createCommon(CHAIN), () => HEADER.parentHash);
  // A machine that is listened to takes the library's loop.
  if (!alone) (made.evm.events as unknown as EventEmitter).on('step', () => {});
  const { journal } = made;
  for (const address of SENDERS) journal.setAccount(address, { ...EMPTY_ACCOUNT, balance: 10n ** 21n });
  for (const [i, { code }] of CODES.entries()) {
    journal.setAccount(contractAt(i), { ...EMPTY_ACCOUNT, nonce: 1n, balance: 50n });
    await journal.putCode(evmAddress(contractAt(i)), fromHex(code));
    journal.setSlot(contractAt(i), `0x${'00'.repeat(32)}`, Uint8Array.of(9));
  }
  return made;
}

function transactions(seed: string, count: number): Transaction[] {
  const random = prng(seed);
  const nonces = SENDERS.map(() => 0n);
  const targets = [
    ...CODES.map((_, i) => contractAt(i)),
    ...SENDERS,
    AUTHOR,
    FRESH,
    `0x${'00'.repeat(19)}04` as Address,
  ];
  return Array.from({ length: count }, () => {
    const who = random.below(SECRETS.length);
    const bytes = random.below(3) === 0 ? random.bytes(random.below(200)) : u256be(BigInt(random.below(40)));
    const wrongNonce = random.below(15) === 0 ? 1n : 0n;
    const nonce = present(nonces[who], 'nonce');
    const { raw } = signTransaction(
      {
        chainId: BigInt(CHAIN),
        nonce: nonce + wrongNonce,
        to: present(targets[random.below(targets.length)], 'target'),
        value: BigInt(random.below(3)),
        data: random.below(2) === 0 ? new Uint8Array(0) : bytes,
        gas: random.below(60) === 0 ? 21_000n : BigInt(present([30_000, 40_000, 200_000][random.below(3)], 'gas')),
        maxFeePerGas: BigInt(random.below(12)) + 3n,
        maxPriorityFeePerGas: BigInt(random.below(3)),
      },
      present(SECRETS[who], 'secret'),
    );
    const decoded = unwrap(decodeTransaction(raw));
    if (wrongNonce === 0n && present(decoded.maxFeePerGas, 'fee') >= HEADER.baseFeePerGas) nonces[who] = nonce + 1n;
    return decoded;
  });
}

type End = Readonly<{ status: 0 | 1; gasUsed: bigint; logs: unknown }>;

async function byLibrary(machine: Machine, tx: Transaction): Promise<End | string> {
  try {
    const block = executionPlace(machine.common, HEADER);
    const { execResult, totalGasSpent } = await runTransaction(
      machine,
      block,
      typedTransaction(machine.common, tx),
      0n,
    );
    const status = execResult.exceptionError === undefined ? 1 : 0;
    return { status, gasUsed: totalGasSpent, logs: rawLogs(execResult.logs) };
  } catch (error) {
    return String(error).slice(0, 60);
  }
}

function described(machine: Machine): unknown {
  const { accounts, slots } = machine.journal.changes();
  const shown = [...accounts].map(([address, account]) => [
    address,
    account === null ? null : [account.nonce, account.balance, toHex(account.codeHash)].join(),
  ]);
  const words = [...slots].flatMap(([address, held]) =>
    [...held].map(([slot, value]) => [address, slot, toHex(value)]),
  );
  // A touched account that never was is written as gone by one and not at all by the other: no difference in the state.
  return { accounts: shown.filter(([, account]) => account !== null).sort(), words: words.sort() };
}

test('transactions end as under the frame and loop of the library', async (t) => {
  let alone = 0;
  for (let round = 0; round < 12; round++) {
    const [ours, theirs] = [await prepared(true), await prepared(false)];
    const block = executionPlace(ours.common, HEADER);
    for (const [i, tx] of transactions(`apply ${round}`, 60).entries()) {
      const applied = await applyTransaction(ours, block, HEADER, tx);
      if (applied !== null) alone++;
      const expected = await byLibrary(theirs, tx);
      t.deepEqual(applied ?? (await byLibrary(ours, tx)), expected, `round ${round}, transaction ${i}`);
    }
    t.deepEqual(described(ours), described(theirs), `round ${round}`);
  }
  t.true(alone > 300, `${alone} ran alone`);
});

test('RLP is that of the reference: every item encodes alike, and bent bytes are read alike or refused', (t) => {
  const random = prng('rlp');
  const item = (depth: number): Item => {
    if (depth > 0 && random.below(3) === 0) return Array.from({ length: random.below(6) }, () => item(depth - 1));
    return random.bytes(present([0, 1, 2, 31, 55, 56, 57, 255, 256, 300][random.below(10)], 'length'));
  };
  for (let i = 0; i < 2_000; i++) {
    const value = item(4);
    const bytes = encodeRlp(value);
    t.is(toHex(bytes), toHex(RLP.encode(value)));
    t.deepEqual(decodeRlp(bytes), value);
    const bent = bytes.slice();
    bent[random.below(bent.length)] = random.below(256);
    const cut = random.below(4) === 0 ? bent.subarray(0, random.below(bent.length)) : bent;
    let expected: Item | null = null;
    try {
      const read = RLP.decode(cut) as Item;
      if (Buffer.compare(RLP.encode(read), cut) === 0) expected = read;
    } catch {}
    t.deepEqual(decodeRlp(cut), expected, toHex(cut));
  }
});

test('hostile nesting and lengths of RLP are refused', (t) => {
  const deep = concat(...Array.from({ length: 50 }, (_, i) => Uint8Array.of(0xc0 + Math.min(55, 50 - i))));
  t.is(decodeRlp(deep), null);
  t.is(decodeRlp(Uint8Array.of(0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)), null);
  t.is(decodeRlp(Uint8Array.of(0xfb, 0xff, 0xff, 0xff, 0xff)), null);
  t.is(decodeRlp(Uint8Array.of(0x81, 0x7f)), null);
  t.is(decodeRlp(concat(Uint8Array.of(0xb8, 0x05), keccak256(new Uint8Array(0)).subarray(0, 5))), null);
  t.is(decodeRlp(new Uint8Array(0)), null);
});
