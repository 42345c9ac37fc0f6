// ethers, as scripts and Hardhat's plugins use it, against a server over a real chain: batches, errors by their words, events.

import { ContractFactory, isError, JsonRpcProvider, parseEther, Wallet, WebSocketProvider } from 'ethers';
import test from 'ava';
import { account, type LiveFixture, serveLive } from './live-chain.ts';
import { compile } from './solidity.ts';

const SOURCE = `
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
contract Box {
  uint256 public held;
  event Put(address indexed by, uint256 held);
  function put(uint256 value) external { require(value < 100, "too much"); held = value; emit Put(msg.sender, value); }
}`;
const { abi, bytecode } = compile('Box', SOURCE);

function open(t: { teardown(end: () => void): void }, fixture: LiveFixture): Wallet {
  // Blocks come as fast as transactions here: the library's cache of a quarter of a second would be stale.
  const provider = new JsonRpcProvider(fixture.url, undefined, {
    polling: true,
    pollingInterval: 50,
    cacheTimeout: -1,
  });
  t.teardown(() => provider.destroy());
  return new Wallet(fixture.accounts[0]?.secret ?? '', provider);
}

test('a transfer is filled, signed, sent and confirmed', async (t) => {
  const wallet = open(t, await serveLive(t));
  const to = account(60).address;
  const sent = await wallet.sendTransaction({ to, value: parseEther('2') });
  const receipt = await sent.wait();
  t.is(receipt?.status, 1);
  t.is(await wallet.provider?.getBalance(to), parseEther('2'));
  t.is((await wallet.provider?.getTransaction(sent.hash))?.type, 2);
});

test('a contract is deployed, called and read; its revert reason and events arrive', async (t) => {
  const wallet = open(t, await serveLive(t));
  const box = await new ContractFactory(abi as never, bytecode, wallet).deploy();
  await box.waitForDeployment();
  const put = box.getFunction('put');
  await (await put(42n)).wait();
  t.is(await box.getFunction('held')(), 42n);
  const failed = await t.throwsAsync(put(100n));
  t.true(isError(failed, 'CALL_EXCEPTION'));
  t.regex(failed?.message ?? '', /too much/);
  const [event] = await box.queryFilter('Put', 0);
  t.truthy(event);
});

test('refusals of the pool are classified by their words', async (t) => {
  const wallet = open(t, await serveLive(t));
  const to = account(61).address;
  await (await wallet.sendTransaction({ to, value: 1n })).wait();
  const again = await t.throwsAsync(wallet.sendTransaction({ to, value: 1n, nonce: 0, gasLimit: 21_000n }));
  t.true(isError(again, 'NONCE_EXPIRED'), again?.message ?? '');
  const poor = await t.throwsAsync(wallet.sendTransaction({ to, value: parseEther('5000'), gasLimit: 21_000n }));
  t.true(isError(poor, 'INSUFFICIENT_FUNDS'), poor?.message ?? '');
});

test('a WebSocket subscriber hears of new blocks', async (t) => {
  const fixture = await serveLive(t);
  const wallet = open(t, fixture);
  const socket = new WebSocketProvider(fixture.url.replace('http', 'ws'));
  t.teardown(() => socket.destroy());
  const heard = new Promise<number>((resolve) => void socket.on('block', resolve));
  let waiting = true;
  void heard.then(() => {
    waiting = false;
  });
  // The subscription starts when it starts: blocks are made until one has been heard.
  while (waiting) await (await wallet.sendTransaction({ to: account(62).address, value: 1n })).wait();
  t.true((await heard) > 0);
});

test('a hundred reads at once travel as one batch', async (t) => {
  const fixture = await serveLive(t);
  const { provider } = open(t, fixture);
  const funded = fixture.accounts[0]?.address ?? '';
  const balances = await Promise.all(
    Array.from({ length: 100 }, (_, i) => provider?.getBalance(i === 99 ? funded : account(100 + i).address)),
  );
  t.deepEqual(balances, [...Array<bigint>(99).fill(0n), parseEther('1000')]);
});
