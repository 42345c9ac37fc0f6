// Owns the life of blocks: building, judging, committing, reading back. Bad blocks are invalid-blocks.test.ts.

import { rm } from 'node:fs/promises';
import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { keccak256 } from '../../base/hash.ts';
import { unwrap } from '../../base/fault.ts';
import { ONE_GWEI, ONE_POL } from '../../base/units.ts';
import type { SystemHooks } from '../../chain/api.ts';
import { openChain } from '../../chain/chain.ts';
import {
  alice,
  authority,
  bob,
  build,
  certificateOf,
  mine,
  NO_SYSTEM,
  signed,
  temporaryFolder,
  testChain,
  testGenesis,
} from './support.ts';

test('a transfer moves its value, pays the author the tip and burns the base fee', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const { block, receipts, left } = await mine(chain, [signed(alice, 0, { value: ONE_POL })]);
  t.deepEqual(left, []);
  const state = unwrap(chain.state(1));
  t.is(await state.balance(bob.address), 2n * ONE_POL);
  t.is(await state.nonce(alice.address), 1);
  const fee = block.header.baseFeePerGas + 1_000_000_000n;
  t.is(await state.balance(alice.address), 999n * ONE_POL - 21_000n * fee);
  t.is(await state.balance(authority.address), 21_000n * 1_000_000_000n);
  t.is(receipts[0]?.effectiveGasPrice, fee);
  t.is(receipts[0]?.status, 1);
  t.is(chain.statistics().burned, 21_000n * block.header.baseFeePerGas);
});

test('a second chain that judges the same blocks arrives at the same roots', async (t) => {
  const one = await testChain();
  const two = await testChain();
  t.teardown(one.dispose);
  t.teardown(two.dispose);
  t.is(one.chain.genesisHash, two.chain.genesisHash);
  for (let nonce = 0; nonce < 6; nonce += 2) {
    const candidate = await build(one.chain, [
      signed(alice, nonce, { value: 5n }),
      signed(alice, nonce + 1, { data: '0x600160005500', to: null }),
    ]);
    const other = unwrap(await two.chain.validateBlock(candidate.wire));
    t.is(other.hash, candidate.hash);
    t.deepEqual(other.receipts, candidate.receipts);
    const certificate = certificateOf(candidate.block.header.number);
    await one.chain.commit(candidate, certificate);
    await two.chain.commit(other, certificate);
  }
  t.is(two.chain.head().header.number, 3);
  t.is(two.chain.head().header.stateRoot, one.chain.head().header.stateRoot);
});

test('the base fee rises after a full block and falls after an empty one', async (t) => {
  const { chain, dispose } = await testChain({ limits: {} });
  t.teardown(dispose);
  await mine(chain);
  t.is(chain.nextBaseFee(), (875_000_000n * 7n) / 8n);
  // An endless loop burns all its gas: 28 of 30 million, against a target of 15.
  const { block } = await mine(chain, [signed(alice, 0, { to: null, data: '0x5b600056', gas: 28_000_000n })]);
  t.is(block.header.gasUsed, 28_000_000n);
  const fee = block.header.baseFeePerGas;
  t.is(chain.nextBaseFee(), fee + (fee * 13_000_000n) / 15_000_000n / 8n);
});

test('a creation stores code, and a call reads and writes its storage', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  // Runtime: store calldata word at slot 0 and log it; init code returns the runtime.
  const runtime = '60003560005560003560005260206000a1'.replace('a1', 'a0') + '00';
  const init =
    `0x60${(runtime.length / 2).toString(16).padStart(2, '0')}600c60003960${(runtime.length / 2).toString(16).padStart(2, '0')}6000f3${runtime}` as const;
  const created = await mine(chain, [signed(alice, 0, { to: null, data: init })]);
  const address = created.receipts[0]?.contractAddress;
  t.truthy(address);
  if (address == null) return;
  t.is(toHex(await unwrap(chain.state(1)).code(address)), `0x${runtime}`);
  const word = `0x${'00'.repeat(31)}2a` as const;
  const called = await mine(chain, [signed(alice, 1, { to: address, data: word })]);
  t.is(called.receipts[0]?.status, 1);
  t.is(called.receipts[0]?.logs[0]?.address, address);
  t.is(await unwrap(chain.state(2)).storage(address, `0x${'00'.repeat(32)}`), word);
  t.is(await unwrap(chain.state(1)).storage(address, `0x${'00'.repeat(32)}`), `0x${'00'.repeat(32)}`);
  const found = unwrap(await chain.logs({ fromBlock: 0, toBlock: 2, addresses: [address], topics: [] }));
  t.is(found.length, 1);
  t.is(found[0]?.blockNumber, 2);
});

test('withdrawals mint the queue of rewards read from the parent state', async (t) => {
  const due = [{ address: bob.address, amountGwei: 7n }];
  const system: SystemHooks = { ...NO_SYSTEM, rewards: async () => due };
  const { chain, dispose } = await testChain({ system });
  t.teardown(dispose);
  await mine(chain);
  const second = await mine(chain);
  t.deepEqual(second.block.withdrawals, [{ index: 1n, validatorIndex: 0n, address: bob.address, amount: 7n }]);
  t.is(await unwrap(chain.state(2)).balance(bob.address), ONE_POL + 14n * ONE_GWEI);
  t.is(chain.statistics().minted, 14n * ONE_GWEI);
  const page = unwrap(await chain.addressHistory(bob.address, { limit: 10 }));
  t.deepEqual(
    page.entries.map((entry) => [entry.blockNumber, entry.role]),
    [
      [2, 'withdrawal'],
      [1, 'withdrawal'],
    ],
  );
});

test('a closed chain opens again with its head, receipts, certificates and history', async (t) => {
  const first = await testChain();
  for (let nonce = 0; nonce < 5; nonce++) await mine(first.chain, [signed(alice, nonce, { value: BigInt(nonce) })]);
  const head = first.chain.head();
  const receipts = await first.chain.receipts(3);
  await first.chain.close();
  const chain = unwrap(await openChain({ ...first.options, create: false }));
  t.teardown(async () => {
    await chain.close();
    await first.dispose();
  });
  t.deepEqual(chain.head(), head);
  t.deepEqual(await chain.receipts(3), receipts);
  t.deepEqual(await chain.certificate(4), certificateOf(4));
  t.is(chain.statistics().transactions, 5);
  const hash = head.transactions[0]?.hash;
  t.truthy(hash);
  if (hash === undefined) return;
  t.is((await chain.transaction(hash))?.blockNumber, 5);
  await mine(chain, [signed(alice, 5)]);
  t.is(chain.head().header.number, 6);
});

test('states of earlier blocks stay readable inside the window and are refused outside it', async (t) => {
  const { chain, dispose } = await testChain({ limits: { stateWindow: 3 } });
  t.teardown(dispose);
  for (let nonce = 0; nonce < 6; nonce++) await mine(chain, [signed(alice, nonce, { value: 1n })]);
  for (const number of [3, 4, 5, 6]) {
    t.is(await unwrap(chain.state(number)).balance(bob.address), ONE_POL + BigInt(number));
    t.is(await unwrap(chain.state(number)).nonce(alice.address), number);
  }
  const refused = chain.state(2);
  t.false(refused.ok);
  if (!refused.ok) t.is(refused.code, 'stateUnavailable');
  const called = unwrap(await chain.call({ to: bob.address }, 4));
  t.is(called.failure, null);
});

test('EIP-4788 and EIP-2935 answer with certificate hashes and block hashes', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  for (let i = 0; i < 3; i++) await mine(chain);
  const head = chain.head();
  const time = `0x${head.header.timestamp.toString(16).padStart(64, '0')}` as const;
  const root = unwrap(
    await chain.call({ to: '0x000f3df6d732807ef1319fb7b8bb8522d0beac02', data: Buffer.from(time.slice(2), 'hex') }, 3),
  );
  t.is(toHex(root.returned), toHex(keccak256(certificateOf(2))));
  const two = Buffer.from('2'.padStart(64, '0'), 'hex');
  const hash = unwrap(await chain.call({ to: '0x0000f90827f1c53a10cb7a02335b175320002935', data: two }, 3));
  t.is(toHex(hash.returned), chain.head().header.parentHash);
});

test('address history pages from newest to oldest', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  for (let nonce = 0; nonce < 4; nonce++) await mine(chain, [signed(alice, nonce, { value: 1n })]);
  const first = unwrap(await chain.addressHistory(bob.address, { limit: 3 }));
  t.deepEqual(
    first.entries.map((entry) => entry.blockNumber),
    [4, 3, 2],
  );
  t.not(first.next, null);
  const rest = unwrap(await chain.addressHistory(bob.address, { limit: 3, cursor: first.next ?? '' }));
  t.deepEqual(
    rest.entries.map((entry) => [entry.blockNumber, entry.role]),
    [[1, 'to']],
  );
  t.is(rest.next, null);
  t.false((await chain.addressHistory(bob.address, { limit: 3, cursor: 'zz' })).ok);
});

test('a missing database, a foreign genesis and a second opener are each refused in plain words', async (t) => {
  const directory = await temporaryFolder();
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const absent = await openChain({ directory, genesis: testGenesis(), create: false, system: NO_SYSTEM });
  t.false(absent.ok);
  if (!absent.ok) t.is(absent.code, 'databaseMissing');
  const one = await testChain();
  const locked = await openChain({ ...one.options, create: false });
  t.false(locked.ok);
  if (!locked.ok) t.is(locked.code, 'databaseLocked');
  await one.chain.close();
  const foreign = await openChain({ ...one.options, genesis: { ...one.options.genesis, timestamp: 5 } });
  t.false(foreign.ok);
  if (!foreign.ok) t.is(foreign.code, 'wrongGenesis');
  await one.dispose();
});
