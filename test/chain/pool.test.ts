// Owns the rules of the mempool: what it refuses and in which words, its order, its limits, what a block does to it.

import test from 'ava';
import { createLegacyTx } from '@ethereumjs/tx';
import { toHex } from '../../base/bytes.ts';
import { ONE_POL } from '../../base/units.ts';
import { createCommon } from '../../chain/evm.ts';
import type { Chain } from '../../chain/api.ts';
import type { ChainLimits } from '../../chain/limits.ts';
import { alice, bob, CHAIN_ID, key, mine, signed, signedRaw, type Send, testChain, type Key } from './support.ts';

const GWEI = 1_000_000_000n;

async function pooled(
  t: { teardown(fn: () => Promise<void>): void },
  limits: Partial<ChainLimits> = {},
): Promise<Chain> {
  const { chain, dispose } = await testChain({ limits });
  t.teardown(dispose);
  return chain;
}

/** The refusal's message, or "added". */
function add(chain: Chain, from: Key, nonce: number, send: Send = {}, nowMs = 0): string {
  const result = chain.pool.add(signedRaw(from, nonce, send), nowMs);
  return result.ok ? 'added' : result.message;
}

test('an admitted transaction is found by hash, counted, selected and mined', async (t) => {
  const chain = await pooled(t);
  const heard: string[] = [];
  chain.pool.onAdded((tx) => heard.push(tx.hash));
  const raw = signedRaw(alice, 0, { value: 1n });
  const added = chain.pool.add(raw, 0);
  t.true(added.ok);
  const tx = signed(alice, 0, { value: 1n });
  t.deepEqual(heard, [tx.hash]);
  t.is(chain.pool.get(tx.hash)?.from, alice.address);
  t.is(chain.pool.pendingNonce(alice.address), 1);
  const chosen = chain.pool.select({ baseFee: chain.nextBaseFee(), gasLimit: 30_000_000n });
  t.deepEqual(
    chosen.map((one) => one.hash),
    [tx.hash],
  );
  await mine(chain, chosen);
  t.deepEqual(chain.pool.status(), { pending: 0, queued: 0, bytes: 0 });
  t.is(chain.pool.pendingNonce(alice.address), 1);
});

test('refusals use the words wallets classify by', async (t) => {
  const chain = await pooled(t);
  t.is(add(chain, alice, 0), 'added');
  t.is(add(chain, alice, 0), 'already known');
  t.is(add(chain, alice, 0, { value: 9n }), 'replacement transaction underpriced');
  t.regex(add(chain, alice, 1, { chainId: 1 }), /^invalid chain id for signer/);
  t.regex(add(chain, alice, 1, { gas: 20_999n }), /^intrinsic gas too low: gas 20999, minimum needed 21000$/);
  t.regex(add(chain, alice, 1, { gas: 40_000_000n }), /^exceeds block gas limit/);
  t.is(add(chain, alice, 1, { gas: 16_777_217n }), 'transaction gas limit too high (cap: 16777216, tx: 16777217)');
  t.regex(add(chain, bob, 0, { value: 2n * ONE_POL }), /^insufficient funds for gas \* price \+ value/);
  t.regex(
    add(chain, alice, 1, { to: null, data: new Uint8Array(49_153), gas: 20_000_000n }),
    /^max initcode size exceeded/,
  );
  t.regex(add(chain, alice, 1, { data: new Uint8Array(140_000) }), /^oversized data/);
  t.regex(
    add(chain, alice, 1, { data: new Uint8Array(2_000).fill(1), gas: 60_000n }),
    /^insufficient gas for floor data gas cost/,
  );
  await mine(chain, [signed(alice, 0)]);
  t.regex(add(chain, alice, 0, { value: 3n }), /^nonce too low: next nonce 1, tx nonce 0$/);
});

test('bytes that are no transaction are refused and never thrown on', async (t) => {
  const chain = await pooled(t);
  const raw = signedRaw(alice, 0);
  const cases: Uint8Array[] = [
    new Uint8Array(0),
    Uint8Array.of(0xc0),
    Uint8Array.of(2),
    Uint8Array.of(5, 1),
    raw.subarray(0, raw.length - 1),
    Uint8Array.of(...raw, 0),
  ];
  for (let i = 0; i < raw.length; i++) {
    const bent = raw.slice();
    bent[i] = (bent[i] as number) ^ 0x80;
    cases.push(bent);
  }
  for (const bytes of cases) {
    const result = chain.pool.add(bytes, 0);
    // A flipped byte may leave a well-formed transaction of a stranger, who has no funds.
    if (result.ok) t.fail(`accepted ${toHex(bytes)}`);
  }
  const typed = chain.pool.add(Uint8Array.of(3, ...raw.subarray(1)), 0);
  t.is(typed.ok ? '' : typed.message, 'transaction type not supported');
});

test('a legacy transaction without replay protection is refused', async (t) => {
  const chain = await pooled(t);
  const common = createCommon(CHAIN_ID, 'chainstart' as never);
  const raw = createLegacyTx({ nonce: 0, gasPrice: 2n * GWEI, gasLimit: 21_000n, to: bob.address }, { common })
    .sign(alice.secret)
    .serialize();
  const result = chain.pool.add(raw, 0);
  t.is(result.ok ? '' : result.message, 'only replay-protected (EIP-155) transactions allowed over RPC');
});

test('a replacement must raise both fees by a tenth', async (t) => {
  const chain = await pooled(t);
  t.is(add(chain, alice, 0, { maxFeePerGas: 10n * GWEI, maxPriorityFeePerGas: GWEI }), 'added');
  t.is(
    add(chain, alice, 0, { maxFeePerGas: 11n * GWEI, maxPriorityFeePerGas: GWEI }),
    'replacement transaction underpriced',
  );
  t.is(add(chain, alice, 0, { maxFeePerGas: 11n * GWEI, maxPriorityFeePerGas: (11n * GWEI) / 10n }), 'added');
  t.is(chain.pool.status().pending, 1);
});

test('a nonce gap queues until it is filled', async (t) => {
  const chain = await pooled(t);
  t.is(add(chain, alice, 2), 'added');
  t.is(add(chain, alice, 1), 'added');
  t.deepEqual([chain.pool.status().pending, chain.pool.status().queued], [0, 2]);
  t.is(chain.pool.pendingNonce(alice.address), 0);
  t.is(add(chain, alice, 0), 'added');
  t.deepEqual([chain.pool.status().pending, chain.pool.status().queued], [3, 0]);
  const nonces = chain.pool.select({ baseFee: GWEI, gasLimit: 30_000_000n }).map((tx) => tx.nonce);
  t.deepEqual(nonces, [0, 1, 2]);
  t.is(chain.pool.content().pending.get(alice.address)?.length, 3);
});

test('selection goes by tip, keeps each sender in order, and stops at the gas', async (t) => {
  const chain = await pooled(t);
  t.is(add(chain, alice, 0, { maxPriorityFeePerGas: 1n * GWEI, maxFeePerGas: 9n * GWEI }), 'added');
  t.is(add(chain, alice, 1, { maxPriorityFeePerGas: 5n * GWEI, maxFeePerGas: 9n * GWEI }), 'added');
  t.is(add(chain, bob, 0, { maxPriorityFeePerGas: 2n * GWEI, maxFeePerGas: 9n * GWEI }), 'added');
  t.is(add(chain, bob, 1, { maxFeePerGas: GWEI / 2n, maxPriorityFeePerGas: 1n }), 'added');
  const order = (gasLimit: bigint) =>
    chain.pool.select({ baseFee: GWEI, gasLimit }).map((tx) => `${tx.from === alice.address ? 'a' : 'b'}${tx.nonce}`);
  t.deepEqual(order(30_000_000n), ['b0', 'a0', 'a1']);
  t.deepEqual(order(42_000n), ['b0', 'a0']);
});

test('limits hold: queued and executable per account, spending of all together, the whole pool', async (t) => {
  const chain = await pooled(t, { poolExecutablePerAccount: 3, poolQueuedPerAccount: 2, poolTransactions: 6 });
  for (let nonce = 0; nonce < 3; nonce++) t.is(add(chain, alice, nonce), 'added');
  t.regex(add(chain, alice, 3), /^account limit exceeded/);
  t.is(add(chain, alice, 10), 'added');
  t.is(add(chain, alice, 11), 'added');
  t.regex(add(chain, alice, 12), /^account limit exceeded/);
  t.is(add(chain, bob, 0, { value: ONE_POL / 2n }), 'added');
  t.regex(add(chain, bob, 1, { value: ONE_POL / 2n }), /queued cost/);
  t.regex(add(chain, bob, 1), /underpriced: txpool is full/);
  t.is(add(chain, bob, 1, { maxPriorityFeePerGas: 2n * GWEI }), 'added');
  t.is(chain.pool.status().pending + chain.pool.status().queued, 6);
});

test('a block that spends the funds drops what can no longer be paid, and age drops the rest', async (t) => {
  const chain = await pooled(t, { poolTimeToLiveMs: 1_000 });
  t.is(add(chain, bob, 1, { value: ONE_POL / 2n }, 500), 'added');
  t.is(add(chain, alice, 0, {}, 500), 'added');
  await mine(chain, [signed(bob, 0, { to: alice.address, value: (ONE_POL * 6n) / 10n })]);
  t.is(chain.pool.status().pending, 1);
  t.is(chain.pool.expire(1_499), 0);
  t.is(chain.pool.expire(1_500), 1);
  t.deepEqual(chain.pool.status(), { pending: 0, queued: 0, bytes: 0 });
});

test('an account with code cannot sign', async (t) => {
  const contract = key('with code');
  const { chain, dispose } = await testChain({
    system: {
      alloc: { [contract.address]: { balance: ONE_POL, code: '0x00' } },
      calls: () => [],
      rewards: async () => [],
    },
  });
  t.teardown(dispose);
  t.regex(add(chain, contract, 0), /^sender not an eoa/);
});
