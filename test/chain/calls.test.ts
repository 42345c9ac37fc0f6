// Owns eth_call, estimates, access lists, overrides, traces and proofs at the chain's interface.

import { createMPT, verifyMPTWithMerkleProof } from '@ethereumjs/mpt';
import test from 'ava';
import { fromHex, type Hex, toHex, u256be } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { ONE_POL } from '../../base/units.ts';
import type { Address, SystemHooks, TraceStep } from '../../chain/api.ts';
import { decodeRlp } from '../../chain/rlp.ts';
import { alice, bob, build, certificateOf, mine, NO_SYSTEM, signed, testChain } from './support.ts';

const COUNTER: Address = '0x00000000000000000000000000000000000c0de1';
const REVERTER: Address = '0x00000000000000000000000000000000000c0de2';
const HUNGRY: Address = '0x00000000000000000000000000000000000c0de3';

/** slot0 += 1; returns it. */
const COUNTER_CODE: Hex = '0x5f54600101805f555f5260205ff3';
/** Reverts with Error("no"). */
const REVERTER_CODE: Hex = `0x7f08c379a0${'00'.repeat(28)}5f5260206004526002602452616e6f60f01b60445260645ffd`;
/** Loops until the gas is gone. */
const HUNGRY_CODE: Hex = '0x5b5f56';

const system: SystemHooks = {
  ...NO_SYSTEM,
  alloc: {
    [COUNTER]: { balance: 0n, nonce: 1, code: COUNTER_CODE, storage: { [`0x${'00'.repeat(32)}`]: toHex(u256be(41n)) } },
    [REVERTER]: { balance: 0n, nonce: 1, code: REVERTER_CODE },
    [HUNGRY]: { balance: 0n, nonce: 1, code: HUNGRY_CODE },
  },
};

test('a call returns what the contract returns and leaves no trace', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  for (let i = 0; i < 2; i++) {
    const outcome = unwrap(await chain.call({ to: COUNTER }, 0));
    t.is(outcome.failure, null);
    t.is(toHex(outcome.returned), toHex(u256be(42n)));
  }
  t.is(await unwrap(chain.state(0)).storage(COUNTER, `0x${'00'.repeat(32)}`), toHex(u256be(41n)));
});

test('calls at once on one chain do not disturb each other or a running block', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  const mined = mine(
    chain,
    Array.from({ length: 20 }, (_, nonce) => signed(alice, nonce, { to: COUNTER, gas: 60_000n })),
  );
  const outcomes = await Promise.all(Array.from({ length: 30 }, () => chain.call({ to: COUNTER }, 0)));
  for (const outcome of outcomes) t.is(toHex(unwrap(outcome).returned), toHex(u256be(42n)));
  await mined;
  t.is(toHex(unwrap(await chain.call({ to: COUNTER }, 1)).returned), toHex(u256be(62n)));
  t.is(toHex(unwrap(await chain.call({ to: COUNTER }, 0)).returned), toHex(u256be(42n)));
});

test('a revert carries its bytes and its reason', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  const outcome = unwrap(await chain.call({ to: REVERTER }, 0));
  t.deepEqual(outcome.failure, { kind: 'reverted', message: 'execution reverted: no' });
  t.is(toHex(outcome.returned).slice(0, 10), '0x08c379a0');
  const estimate = await chain.estimateGas({ to: REVERTER }, 0);
  t.is(estimate.ok ? '' : estimate.code, 'reverted');
  t.is(estimate.ok ? '' : estimate.message, 'execution reverted: no');
});

test('an endless loop ends when its gas does', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  const outcome = unwrap(await chain.call({ to: HUNGRY, gas: 200_000n }, 0));
  t.deepEqual(outcome.failure, { kind: 'exception', message: 'out of gas' });
  t.is(outcome.gasUsed, 200_000n);
});

test('a long call leaves turns for timers and for other calls', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  let done = false;
  const long = chain.call({ to: HUNGRY, gas: 3_000_000n }, 0).finally(() => {
    done = true;
  });
  unwrap(await chain.call({ to: COUNTER }, 0));
  t.false(done);
  await long;
  clearInterval(timer);
  t.true(turns >= 3, `${turns} turns`);
});

test('an estimate is 21000 for a transfer and enough, but little more, for a call', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  t.is(unwrap(await chain.estimateGas({ from: alice.address, to: bob.address, value: 1n }, 0)), 21_000n);
  const estimate = unwrap(await chain.estimateGas({ from: alice.address, to: COUNTER }, 0));
  const { receipts } = await mine(chain, [signed(alice, 0, { to: COUNTER, gas: estimate })]);
  t.is(receipts[0]?.status, 1);
  t.true(estimate < ((receipts[0]?.gasUsed ?? 0n) * 11n) / 10n);
  const poor = await chain.estimateGas({ from: bob.address, to: alice.address, value: 5n * ONE_POL }, 0);
  t.regex(poor.ok ? '' : poor.message, /^insufficient funds for gas \* price \+ value/);
});

test('overrides change the state and the block one call sees', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  const zero = `0x${'00'.repeat(32)}` as const;
  const overridden = unwrap(
    await chain.call({ to: COUNTER }, 0, { state: { [COUNTER]: { stateDiff: { [zero]: toHex(u256be(9n)) } } } }),
  );
  t.is(toHex(overridden.returned), toHex(u256be(10n)));
  // NUMBER, stored and returned.
  const number = unwrap(
    await chain.call({ to: bob.address }, 0, {
      state: { [bob.address]: { code: fromHex('0x435f5260205ff3') } },
      block: { number: 77 },
    }),
  );
  t.is(toHex(number.returned), toHex(u256be(77n)));
});

test('an access list names the slots a call touches', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  const found = unwrap(await chain.accessList({ from: alice.address, to: COUNTER }, 0));
  t.deepEqual(found.accessList, [{ address: COUNTER, storageKeys: [`0x${'00'.repeat(32)}`] }]);
  t.is(found.error, null);
});

test('a traced transaction runs the same opcodes again', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  await mine(chain);
  const first = signed(alice, 0, { to: COUNTER, gas: 60_000n });
  const { receipts } = await mine(chain, [first, signed(alice, 1, { to: COUNTER, gas: 60_000n })]);
  const steps: TraceStep[] = [];
  const frames: string[] = [];
  const outcome = unwrap(
    await chain.traceTransaction(receipts[1]?.transactionHash ?? '0x', {
      step: (step) => steps.push(step),
      enter: (frame) => frames.push(`${frame.type} ${frame.to}`),
      exit: (result) => frames.push(result.error ?? 'ok'),
    }),
  );
  t.is(outcome.gasUsed, receipts[1]?.gasUsed ?? 0n);
  t.is(toHex(outcome.returned), toHex(u256be(43n)));
  t.deepEqual(
    steps.slice(0, 3).map((step) => step.op),
    ['PUSH0', 'SLOAD', 'PUSH1'],
  );
  t.deepEqual(frames, [`CALL ${COUNTER}`, 'ok']);
});

test('a proof of an account and a slot verifies against the head state root', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  await mine(chain, [signed(alice, 0, { to: COUNTER, gas: 60_000n })]);
  const slot = `0x${'00'.repeat(32)}` as const;
  const proof = unwrap(await chain.proof(COUNTER, [slot], 1));
  const account = await provenValue(chain.head().header.stateRoot, fromHex(COUNTER), proof.accountProof);
  const fields = decodeRlp(account) as Uint8Array[];
  t.is(toHex(fields[2] as Uint8Array), proof.storageHash);
  t.is(proof.storageProof[0]?.value, 42n);
  const word = await provenValue(proof.storageHash, fromHex(slot), proof.storageProof[0]?.proof ?? []);
  t.deepEqual(decodeRlp(word), Uint8Array.of(42));
  t.false((await chain.proof(COUNTER, [], 0)).ok);
});

test('a proof of the head is of the head when it is made, though a block comes before', async (t) => {
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  const candidate = await build(chain, [signed(alice, 0, { to: COUNTER, gas: 60_000n })]);
  const committed = chain.commit(candidate, certificateOf(1));
  const [named, numbered] = await Promise.all([chain.proof(COUNTER, [], 'head'), chain.proof(COUNTER, [], 0)]);
  await committed;
  t.false(numbered.ok);
  await provenValue(chain.head().header.stateRoot, fromHex(COUNTER), unwrap(named).accountProof);
  t.is(chain.head().header.number, 1);
});

/** Value the library's verifier finds at a key, or a throw when the proof does not hold. */
async function provenValue(root: Hex, key: Uint8Array, proof: readonly Hex[]): Promise<Uint8Array> {
  const mpt = await createMPT({ useKeyHashing: true });
  return present(await verifyMPTWithMerkleProof(mpt, fromHex(root), key, proof.map(fromHex)), 'proven value');
}
