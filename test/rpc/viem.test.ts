// viem, as wallets and scripts use it, against a server over a real chain.

import test from 'ava';
import {
  type Abi,
  type Hex,
  createPublicClient,
  createTestClient,
  encodeFunctionData,
  http,
  parseAbiItem,
  parseEther,
  webSocket,
} from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { clients } from './viem-clients.ts';
import { type LiveFixture, account, serveLive } from './live-chain.ts';
import { call } from './fixture.ts';
import { compile } from './solidity.ts';

const SOURCE = `
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
contract Counter {
  uint256 public count;
  event Raised(address indexed by, uint256 count);
  function raise(uint256 by) external { require(by < 10, "too much"); count += by; emit Raised(msg.sender, count); }
  function divide(uint256 by) external pure returns (uint256) { return 100 / by; }
  function spin() external pure { while (true) {} }
}`;
const { abi, bytecode } = compile('Counter', SOURCE);

async function deployed(fixture: LiveFixture) {
  const all = clients(fixture);
  const hash = await all.wallet.deployContract({ abi, bytecode });
  const receipt = await all.reader.waitForTransactionReceipt({ hash });
  return { ...all, address: receipt.contractAddress as Hex, receipt };
}

type Tuple = Readonly<{ chainId: number; address: Hex; r: Hex; s: Hex; yParity?: number | undefined }>;

/** A signed authorization as JSON-RPC writes it, but for its nonce. */
function hexed({ chainId, address, r, s, yParity }: Tuple): Readonly<Record<string, string>> {
  const quantity = (value: bigint): string => `0x${value.toString(16)}`;
  const parity = quantity(BigInt(yParity ?? 0));
  return {
    chainId: quantity(BigInt(chainId)),
    address,
    r: quantity(BigInt(r)),
    s: quantity(BigInt(s)),
    yParity: parity,
  };
}

test('a transfer is signed, sent, mined and found again', async (t) => {
  const fixture = await serveLive(t);
  const { reader, wallet, signer } = clients(fixture);
  const to = account(50).address;
  t.is(await reader.getChainId(), 504_101);
  t.is(await reader.getBalance({ address: signer.address }), parseEther('1000'));
  const hash = await wallet.sendTransaction({ to, value: parseEther('1.5') });
  const receipt = await reader.waitForTransactionReceipt({ hash });
  t.is(receipt.status, 'success');
  t.is(receipt.gasUsed, 21_000n);
  t.is(await reader.getBalance({ address: to }), parseEther('1.5'));
  t.is(await reader.getBalance({ address: to, blockNumber: receipt.blockNumber - 1n }), 0n);
  t.is(await reader.getTransactionCount({ address: signer.address }), 1);
  const transaction = await reader.getTransaction({ hash });
  t.like(transaction, { value: parseEther('1.5'), from: signer.address.toLowerCase(), type: 'eip1559', nonce: 0 });
  const block = await reader.getBlock({ blockHash: receipt.blockHash, includeTransactions: true });
  t.is(block.transactions[0]?.hash, hash);
  t.is((await reader.getBlock({ blockTag: 'finalized' })).hash, receipt.blockHash);
  t.is(Number((await reader.getBlock({ blockTag: 'pending' })).number), Number(receipt.blockNumber) + 1);
});

test('legacy, access list and fee market transactions are all taken', async (t) => {
  const { reader, wallet } = clients(await serveLive(t));
  const to = account(51).address;
  for (const type of ['legacy', 'eip2930', 'eip1559'] as const) {
    const fields = { to, value: 1n, type, ...(type === 'eip2930' ? { accessList: [] } : {}) };
    const hash = await wallet.sendTransaction(fields as { to: Hex; value: bigint });
    const receipt = await reader.waitForTransactionReceipt({ hash });
    t.is(receipt.type, type);
  }
  t.is(await reader.getBalance({ address: to }), 3n);
});

test('an account takes the code of a contract: call, estimate, fill and transaction agree (EIP-7702)', async (t) => {
  const fixture = await serveLive(t);
  const { reader, wallet, address, signer } = await deployed(fixture);
  const data = encodeFunctionData({ abi, functionName: 'raise', args: [3n] });
  const count = encodeFunctionData({ abi, functionName: 'count' });
  const other = privateKeyToAccount(fixture.accounts[1]?.secret as Hex);
  const [nonceOf, chainId] = [await reader.getTransactionCount({ address: other.address }), 504_101];
  const sponsored = await other.signAuthorization({ contractAddress: address, chainId, nonce: nonceOf });
  // As a message of another account, before anything is sent.
  const seen = await reader.call({ account: signer, to: other.address, data: count, authorizationList: [sponsored] });
  t.is(seen.data, `0x${'00'.repeat(32)}`);
  t.is((await reader.call({ account: signer, to: other.address, data: count })).data, undefined);
  const own = await wallet.signAuthorization({ contractAddress: address, executor: 'self' });
  const hash = await wallet.sendTransaction({ to: signer.address, data, authorizationList: [own, sponsored] });
  const receipt = await reader.waitForTransactionReceipt({ hash });
  t.like(receipt, { status: 'success', type: 'eip7702' });
  const { gas, authorizationList } = await reader.getTransaction({ hash });
  t.is(authorizationList?.length, 2);
  // Both exist, so each gives 12,500 back, of which a fifth of the whole may count.
  t.true(gas >= receipt.gasUsed && gas < 2n * receipt.gasUsed, `${gas} for ${receipt.gasUsed}`);
  for (const delegate of [signer.address, other.address]) {
    t.is(await reader.getCode({ address: delegate }), `0xef0100${address.slice(2)}`);
  }
  t.is(await reader.readContract({ address: signer.address, abi, functionName: 'count' }), 3n);
  t.is(await reader.readContract({ address: other.address, abi, functionName: 'count' }), 0n);
  const filled = await call(fixture.url, 'eth_fillTransaction', [
    { from: signer.address, to: address, data: count, authorizationList: [{ ...hexed(sponsored), nonce: '0x0' }] },
  ]);
  t.like((filled.result as { tx: object }).tx, { type: '0x4', to: address });
});

test('a contract is deployed, called and read; reverts carry their reason', async (t) => {
  const fixture = await serveLive(t);
  const { reader, wallet, address, signer } = await deployed(fixture);
  t.not(await reader.getCode({ address }), undefined);
  const hash = await wallet.writeContract({ address, abi, functionName: 'raise', args: [7n] });
  const receipt = await reader.waitForTransactionReceipt({ hash });
  t.is(receipt.logs.length, 1);
  t.is(await reader.readContract({ address, abi, functionName: 'count' }), 7n);
  t.is(await reader.getStorageAt({ address, slot: '0x0' }), `0x${'00'.repeat(31)}07`);
  const tooMuch = { address, abi, functionName: 'raise', args: [10n], account: signer };
  await t.throwsAsync(reader.simulateContract(tooMuch), { message: /too much/ });
  await t.throwsAsync(wallet.writeContract(tooMuch), { message: /too much/ });
  await t.throwsAsync(reader.readContract({ address, abi, functionName: 'divide', args: [0n] }), { message: /zero/ });
  const spin = encodeFunctionData({ abi, functionName: 'spin' });
  const spun = await call(fixture.url, 'eth_call', [{ to: address, data: spin, gas: '0x30d40' }, 'latest']);
  t.is(spun.error?.code, -32000);
  t.regex(spun.error?.message ?? '', /out of gas/);
  const data = '0xdeadbeef';
  const raw = await call(fixture.url, 'eth_call', [{ to: address, data }, 'latest']);
  t.is(raw.error?.code, 3);
  t.is(raw.error?.data, '0x');
});

test('logs are found by address, topic and range, and filters follow them', async (t) => {
  const { reader, wallet, address, signer } = await deployed(await serveLive(t));
  const event = parseAbiItem('event Raised(address indexed by, uint256 count)');
  const filter = await reader.createEventFilter({ address, event, fromBlock: 0n });
  for (const by of [1n, 2n]) {
    const hash = await wallet.writeContract({ address, abi, functionName: 'raise', args: [by] });
    await reader.waitForTransactionReceipt({ hash });
  }
  const logs = await reader.getLogs({ address, event, args: { by: signer.address }, fromBlock: 0n });
  t.deepEqual(
    logs.map(({ args }) => args.count),
    [1n, 3n],
  );
  t.deepEqual(await reader.getLogs({ address, event, args: { by: address }, fromBlock: 0n }), []);
  t.is((await reader.getFilterChanges({ filter })).length, 2);
  t.is((await reader.getFilterChanges({ filter })).length, 0);
  t.is((await reader.getFilterLogs({ filter })).length, 2);
  t.true(await reader.uninstallFilter({ filter }));
});

test('fees, gas, access lists and proofs are advised', async (t) => {
  const { reader, address, signer } = await deployed(await serveLive(t));
  const fees = await reader.estimateFeesPerGas();
  t.true(fees.maxFeePerGas > fees.maxPriorityFeePerGas && fees.maxPriorityFeePerGas >= 1_000_000_000n);
  t.true((await reader.getGasPrice()) > 0n);
  const history = await reader.getFeeHistory({ blockCount: 4, rewardPercentiles: [10, 50] });
  t.is(history.baseFeePerGas.length, history.gasUsedRatio.length + 1);
  t.is(history.reward?.[0]?.length, 2);
  const gas = await reader.estimateContractGas({ address, abi, functionName: 'raise', args: [1n], account: signer });
  t.true(gas > 40_000n && gas < 80_000n, String(gas));
  const { accessList } = await reader.createAccessList({ to: address, data: '0x06661abd' });
  t.is(accessList[0]?.address, address);
  const proof = await reader.getProof({ address, storageKeys: [`0x${'00'.repeat(32)}`] });
  t.true(proof.accountProof.length > 0);
  t.is(proof.storageProof.length, 1);
});

test('refusals of the pool arrive in words clients classify', async (t) => {
  const { reader, wallet, signer } = clients(await serveLive(t));
  const to = account(52).address;
  const hash = await wallet.sendTransaction({ to, value: 1n });
  await reader.waitForTransactionReceipt({ hash });
  const fields = { to, value: 1n, gas: 21_000n, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 10n ** 9n };
  await t.throwsAsync(wallet.sendTransaction({ ...fields, nonce: 0 }), { message: /nonce too low/i });
  await t.throwsAsync(wallet.sendTransaction({ ...fields, nonce: 1, value: parseEther('5000') }), {
    message: /insufficient funds/i,
  });
  await t.throwsAsync(wallet.sendTransaction({ ...fields, nonce: 1, gas: 1_000n }), {
    message: /intrinsic gas too low/i,
  });
  const foreign = await signer.signTransaction({ ...fields, nonce: 1, chainId: 1, type: 'eip1559' });
  await t.throwsAsync(reader.sendRawTransaction({ serializedTransaction: foreign }), { message: /chain id/i });
  await t.throwsAsync(reader.sendRawTransaction({ serializedTransaction: '0x02c0' }));
});

test('a WebSocket client watches blocks, events and pending transactions', async (t) => {
  const fixture = await serveLive(t);
  const { wallet, reader, address, chain } = await deployed(fixture);
  const transport = webSocket(fixture.url.replace('http', 'ws'));
  const watcher = createPublicClient({ chain, transport });
  const block = new Promise<unknown>((resolve) =>
    watcher.watchBlocks({ onBlock: ({ number }) => resolve(number), emitOnBegin: false }),
  );
  const log = new Promise<unknown>((resolve) =>
    watcher.watchContractEvent({ address, abi: abi as Abi, onLogs: ([first]) => resolve(first) }),
  );
  const pending = new Promise<Hex | undefined>((resolve) =>
    watcher.watchPendingTransactions({ onTransactions: ([first]) => resolve(first) }),
  );
  // Subscriptions start when they start: transactions are sent until all three have been heard.
  const heard = Promise.all([pending, block, log]);
  let waiting = true;
  void heard.then(() => {
    waiting = false;
  });
  const sent: Hex[] = [];
  while (waiting) {
    const hash = await wallet.writeContract({ address, abi, functionName: 'raise', args: [1n] });
    sent.push(hash);
    await reader.waitForTransactionReceipt({ hash });
  }
  const [hash, number, event] = await heard;
  t.true(sent.includes(hash as Hex));
  t.true(Number(number) > 0);
  t.like(event, { eventName: 'Raised', address });
  (await watcher.transport.getRpcClient()).close();
});

test('a raw transaction sent in sync mode answers with its receipt', async (t) => {
  const { reader, signer } = clients(await serveLive(t));
  const serializedTransaction = await signer.signTransaction({
    to: account(53).address,
    value: 1n,
    gas: 21_000n,
    maxFeePerGas: 10n ** 10n,
    maxPriorityFeePerGas: 10n ** 9n,
    nonce: 0,
    chainId: 504_101,
    type: 'eip1559',
  });
  const receipt = await reader.request({
    method: 'eth_sendRawTransactionSync',
    params: [serializedTransaction],
  } as never);
  t.like(receipt, { status: '0x1', gasUsed: '0x5208' });
});

test('methods of development chains are answered as absent', async (t) => {
  const { url } = await serveLive(t);
  const tester = createTestClient({ mode: 'anvil', transport: http(url, { retryCount: 0 }) });
  await t.throwsAsync(tester.mine({ blocks: 1 }), { message: /not exist|not available|not support/i });
});
