// Owns the property of kept states: whatever blocks wrote, cleared, created or destroyed, every height reads as it did when
// it was the head, a second node agrees, and flat rows and tries are the same state.

import test from 'ava';
import { concat, toHex, u256be } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { type Prng, prng } from '../../base/prng.ts';
import type { Address, Chain, Hash, SystemHooks, Transaction } from '../../chain/api.ts';
import { auditState } from '../../chain/audit.ts';
import { alice, bob, build, certificateOf, key, NO_SYSTEM, signed, testChain } from './support.ts';

/** sstore(calldata word 0, calldata word 1). */
const WRITER: Address = '0x00000000000000000000000000000000000c0de4';
/** Deploys a contract that stores a word and destroys itself in the same transaction. */
const FLEETING = '0x602a60015533ff' as const;
const SLOTS = 12;

const system: SystemHooks = { ...NO_SYSTEM, alloc: { [WRITER]: { balance: 0n, nonce: 1, code: '0x6020355f355500' } } };
const slotOf = (n: number): Hash => toHex(u256be(BigInt(n)));
const receivers = Array.from({ length: 6 }, (_, i) => key(`receiver ${i}`).address);

function randomTransaction(random: Prng, nonce: number): Transaction {
  const choice = random.below(5);
  if (choice < 3) {
    const value = random.below(3) === 0 ? 0n : BigInt(random.below(1_000));
    return signed(alice, nonce, {
      to: WRITER,
      data: concat(u256be(BigInt(random.below(SLOTS))), u256be(value)),
      gas: 100_000n,
    });
  }
  if (choice === 3) return signed(alice, nonce, { to: null, data: FLEETING, gas: 200_000n });
  return signed(alice, nonce, {
    to: receivers[random.below(receivers.length)] ?? bob.address,
    value: BigInt(random.below(3)),
  });
}

/** Everything the test can see of a height. */
async function snapshot(chain: Chain, number: number): Promise<string> {
  const state = unwrap(chain.state(number));
  const slots = await Promise.all(Array.from({ length: SLOTS }, (_, n) => state.storage(WRITER, slotOf(n))));
  const accounts = await Promise.all(
    [alice.address, ...receivers].map(async (one) => [
      await state.balance(one),
      await state.nonce(one),
      (await state.account(one)) === null,
    ]),
  );
  return JSON.stringify([slots, accounts], (_, value) => (typeof value === 'bigint' ? value.toString() : value));
}

test('every kept height reads as it did when it was the head', async (t) => {
  const window = 12;
  const one = await testChain({ system, limits: { stateWindow: window, stateCache: 20 } });
  const two = await testChain({ system, limits: { stateWindow: window } });
  t.teardown(one.dispose);
  t.teardown(two.dispose);
  const random = prng('history 1');
  const seen = [await snapshot(one.chain, 0)];
  let nonce = 0;
  for (let number = 1; number <= 30; number++) {
    const transactions = Array.from({ length: random.below(8) }, () => randomTransaction(random, nonce++));
    const candidate = await build(one.chain, transactions);
    t.deepEqual(candidate.left, []);
    await one.chain.commit(candidate, certificateOf(number));
    unwrap(await two.chain.importBlock(candidate.wire, certificateOf(number)));
    seen.push(await snapshot(one.chain, number));
  }
  for (let number = 30 - window; number <= 30; number++) {
    t.is(await snapshot(one.chain, number), seen[number] as string, `height ${number}`);
    t.is(await snapshot(two.chain, number), seen[number] as string, `second node, height ${number}`);
  }
  const { stateRoot } = one.chain.head().header;
  t.is(two.chain.head().header.stateRoot, stateRoot);
  await one.chain.close();
  t.is(unwrap(await auditState(one.directory, stateRoot)).stateRoot, stateRoot);
});
