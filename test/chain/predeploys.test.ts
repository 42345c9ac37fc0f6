// Contracts every chain has at known addresses: they answer through viem's own interfaces, and wrapped POL stays backed.

import test from 'ava';
import { decodeFunctionResult, encodeFunctionData, erc20Abi, multicall3Abi, parseAbi } from 'viem';
import { fromHex, toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import type { Address, Chain } from '../../chain/api.ts';
import { MULTICALL3, WRAPPED_POL } from '../../chain/predeploys.ts';
import { alice, bob, mine, signed, testChain } from './support.ts';

const wrapped = parseAbi(['function deposit() payable', 'function withdraw(uint256 value)']);

async function read(chain: Chain, to: Address, data: `0x${string}`): Promise<`0x${string}`> {
  const outcome = unwrap(await chain.call({ to, data: fromHex(data) }, chain.head().header.number));
  return toHex(outcome.returned);
}

async function balanceOf(chain: Chain, holder: Address): Promise<bigint> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'balanceOf', args: [holder] });
  return decodeFunctionResult({ abi: erc20Abi, functionName: 'balanceOf', data: await read(chain, WRAPPED_POL, data) });
}

test('Multicall3 answers many reads at once and lets single ones fail where that is allowed', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const funds = encodeFunctionData({ abi: multicall3Abi, functionName: 'getEthBalance', args: [bob.address] });
  const calls = [
    { target: MULTICALL3, allowFailure: false, callData: funds },
    { target: MULTICALL3, allowFailure: true, callData: '0xdeadbeef' },
  ] as const;
  const data = encodeFunctionData({ abi: multicall3Abi, functionName: 'aggregate3', args: [calls] });
  const [first, second] = decodeFunctionResult({
    abi: multicall3Abi,
    functionName: 'aggregate3',
    data: await read(chain, MULTICALL3, data),
  });
  t.true(first?.success);
  t.is(BigInt(first?.returnData ?? '0x'), 10n ** 18n);
  t.false(second?.success);
  const strict = encodeFunctionData({
    abi: multicall3Abi,
    functionName: 'aggregate3',
    args: [[{ ...calls[1], allowFailure: false }]],
  });
  const outcome = unwrap(await chain.call({ to: MULTICALL3, data: fromHex(strict) }, 0));
  t.regex(outcome.failure?.message ?? '', /call failed/);
});

test('wrapped POL is one token for one coin, and goes back', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const value = 5n * 10n ** 18n;
  await mine(chain, [
    signed(alice, 0, { to: WRAPPED_POL, value, data: encodeFunctionData({ abi: wrapped, functionName: 'deposit' }) }),
    signed(alice, 1, { to: WRAPPED_POL, value: 1n, gas: 100_000n }),
  ]);
  t.is(await balanceOf(chain, alice.address), value + 1n);
  const transfer = encodeFunctionData({ abi: erc20Abi, functionName: 'transfer', args: [bob.address, 2n] });
  const withdraw = encodeFunctionData({ abi: wrapped, functionName: 'withdraw', args: [value - 1n] });
  const tooMuch = encodeFunctionData({ abi: wrapped, functionName: 'withdraw', args: [1n] });
  const { receipts } = await mine(
    chain,
    [transfer, withdraw, tooMuch].map((data, i) => signed(alice, 2 + i, { to: WRAPPED_POL, data })),
  );
  t.deepEqual(
    receipts.map(({ status }) => status),
    [1, 1, 0],
  );
  t.is(await balanceOf(chain, bob.address), 2n);
  t.is(await unwrap(chain.state(chain.head().header.number)).balance(WRAPPED_POL), 2n);
});
