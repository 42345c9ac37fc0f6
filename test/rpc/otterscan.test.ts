// The ots_ methods, prestateTracer and eth_config as explorers and tools use them, on a real chain.

import test from 'ava';
import { type Hex, encodeFunctionData, parseEther } from 'viem';
import { call } from './fixture.ts';
import { account, serveLive } from './live-chain.ts';
import { compile } from './solidity.ts';
import { clients } from './viem-clients.ts';

const SOURCE = `
pragma solidity ^0.8.0;
contract Child { constructor() payable {} }
contract Parent {
  uint256 public count;
  function make(address payable to) external payable { count += 1; new Child(); to.transfer(msg.value); }
  function fail() external { count = 9; revert("no luck"); }
}`;

type Page = {
  txs: { hash: Hex; blockNumber: Hex }[];
  receipts: { timestamp: number; transactionHash: Hex }[];
  firstPage: boolean;
  lastPage: boolean;
};

test('an explorer finds creations, inner operations, errors, pages of blocks and histories', async (t) => {
  const live = await serveLive(t);
  const { signer, reader, wallet } = clients(live);
  const ask = async <T>(method: string, ...params: unknown[]): Promise<T> => {
    const answer = await call(live.url, method, params);
    t.is(answer.error, undefined, `${method}: ${answer.error?.message}`);
    return answer.result as T;
  };
  const { abi, bytecode } = compile('Parent', SOURCE);
  const made = await wallet.deployContract({ abi, bytecode });
  const parent = (await reader.waitForTransactionReceipt({ hash: made })).contractAddress as Hex;
  const payee = account(70).address;
  const data = encodeFunctionData({ abi, functionName: 'make', args: [payee] });
  const paid = await wallet.sendTransaction({ to: parent, data, value: parseEther('2') });
  const { blockNumber } = await reader.waitForTransactionReceipt({ hash: paid });
  const failing = encodeFunctionData({ abi, functionName: 'fail' });
  const failed = await wallet.sendTransaction({ to: parent, data: failing, gas: 100_000n });
  await reader.waitForTransactionReceipt({ hash: failed });

  t.is(await ask('ots_getApiLevel'), 8);
  t.true(await ask('ots_hasCode', parent, 'latest'));
  t.false(await ask('ots_hasCode', payee, Number(blockNumber)));
  t.deepEqual(await ask('ots_getContractCreator', parent), { hash: made, creator: signer.address.toLowerCase() });
  t.is(await ask('ots_getContractCreator', payee), null);

  const operations = await ask<{ type: number; to: Hex; value: Hex }[]>('ots_getInternalOperations', paid);
  t.deepEqual(
    operations.map(({ type }) => type),
    [2, 0],
  );
  t.like(operations[1], { from: parent, to: payee, value: `0x${parseEther('2').toString(16)}` });
  t.deepEqual(await ask('ots_getInternalOperations', failed), []);
  const frames = await ask<{ type: string; depth: number; to: Hex }[]>('ots_traceTransaction', paid);
  t.deepEqual(
    frames.map(({ type, depth }) => [type, depth]),
    [
      ['CALL', 0],
      ['CREATE', 1],
      ['CALL', 1],
    ],
  );
  t.true((await ask<string>('ots_getTransactionError', failed)).startsWith('0x08c379a0'));
  t.is(await ask('ots_getTransactionError', paid), '0x');

  const details = await ask<{ block: Record<string, unknown>; totalFees: Hex }>(
    'ots_getBlockDetails',
    Number(blockNumber),
  );
  t.like(details.block, { transactionCount: 1, logsBloom: null });
  const receipt = await reader.getTransactionReceipt({ hash: paid });
  t.is(BigInt(details.totalFees), receipt.gasUsed * receipt.effectiveGasPrice);
  t.deepEqual(await ask('ots_getBlockDetailsByHash', details.block.hash), details);
  const listed = await ask<{ fullblock: { transactions: { input: Hex }[] }; receipts: { logs: null }[] }>(
    'ots_getBlockTransactions',
    Number(blockNumber),
    0,
    10,
  );
  t.is(listed.fullblock.transactions[0]?.input, data.slice(0, 10) as Hex);
  t.is(listed.receipts[0]?.logs, null);

  const newest = await ask<Page>('ots_searchTransactionsBefore', signer.address, 0, 2);
  t.deepEqual(
    newest.txs.map(({ hash }) => hash),
    [failed, paid],
  );
  t.like(newest, { firstPage: true, lastPage: false });
  const below = Number(newest.txs[1]?.blockNumber);
  const older = await ask<Page>('ots_searchTransactionsBefore', signer.address, below, 2);
  t.deepEqual(
    older.txs.map(({ hash }) => hash),
    [made],
  );
  t.like(older, { firstPage: false, lastPage: true });
  const oldest = await ask<Page>('ots_searchTransactionsAfter', signer.address, 0, 2);
  t.deepEqual(
    oldest.txs.map(({ hash }) => hash),
    [paid, made],
  );
  t.like(oldest, { firstPage: false, lastPage: true });
  const newer = await ask<Page>('ots_searchTransactionsAfter', signer.address, Number(blockNumber), 5);
  t.deepEqual(
    newer.receipts.map(({ transactionHash }) => transactionHash),
    [failed],
  );
  t.is(newer.firstPage, true);

  t.is(await ask('ots_getTransactionBySenderAndNonce', signer.address, 1), paid);
  t.is(await ask('ots_getTransactionBySenderAndNonce', signer.address, 99), null);
  const refused = await call(live.url, 'ots_searchTransactionsBefore', [signer.address, 0, 1_000]);
  t.is(refused.error?.code, -32602);
  t.regex(refused.error?.message ?? '', /allowed are 1 to 100/);
});

test('prestateTracer shows what a transaction found, and with diffMode what it changed', async (t) => {
  const live = await serveLive(t);
  const { signer, reader, wallet } = clients(live);
  const { abi, bytecode } = compile('Parent', SOURCE);
  const made = await wallet.deployContract({ abi, bytecode });
  const parent = (await reader.waitForTransactionReceipt({ hash: made })).contractAddress as Hex;
  const payee = account(71).address;
  const data = encodeFunctionData({ abi, functionName: 'make', args: [payee] });
  const sender = signer.address.toLowerCase() as Hex;
  const had = await reader.getBalance({ address: sender });
  const hash = await wallet.sendTransaction({ to: parent, data, value: 7n });
  await reader.waitForTransactionReceipt({ hash });

  type State = Record<Hex, { balance?: Hex; nonce?: number; code?: Hex; storage?: Record<Hex, Hex> }>;
  const trace = async <T>(tracerConfig: object): Promise<T> =>
    (await call(live.url, 'debug_traceTransaction', [hash, { tracer: 'prestateTracer', tracerConfig }])).result as T;
  const slot: Hex = `0x${'00'.repeat(32)}`;
  const found = await trace<State>({});
  t.is(BigInt(found[sender]?.balance ?? 0), had);
  t.is(found[sender]?.nonce, 1);
  t.is(found[parent]?.code, await reader.getCode({ address: parent }));
  t.deepEqual(found[parent]?.storage, { [slot]: slot });
  t.deepEqual(found[payee], { balance: '0x0' });

  const { pre, post } = await trace<{ pre: State; post: State }>({ diffMode: true });
  t.is(BigInt(post[sender]?.balance ?? 0), await reader.getBalance({ address: sender }));
  t.is(post[sender]?.nonce, 2);
  t.deepEqual(post[parent]?.storage, { [slot]: `0x${'1'.padStart(64, '0')}` });
  t.is(pre[parent]?.storage, undefined, 'a slot that was zero is not shown before');
  t.deepEqual(post[payee], { balance: '0x7' });
  t.false(payee in pre, 'an account that was not there is not shown before');
  const child = Object.keys(post).find(
    (address) => ![sender, parent, payee].includes(address as Hex) && post[address as Hex]?.nonce === 1,
  );
  t.truthy(child, 'the contract made inside is shown');

  const called = await call(live.url, 'debug_traceCall', [
    { from: sender, to: parent, data },
    'latest',
    { tracer: 'prestateTracer' },
  ]);
  t.deepEqual((called.result as State)[parent]?.storage, { [slot]: `0x${'1'.padStart(64, '0')}` });
});

test('eth_config names the fork in force, with the precompiles an EVM of it has', async (t) => {
  const live = await serveLive(t);
  const { result } = await call(live.url, 'eth_config', []);
  const { current, next, last } = result as { current: Record<string, unknown>; next: null; last: null };
  t.is(next ?? last, null);
  t.like(current, { activationTime: 0, chainId: '0x7b125' });
  t.regex(String(current.forkId), /^0x[0-9a-f]{8}$/);
  for (const [name, where] of Object.entries(current.precompiles as Record<string, Hex>)) {
    const { error } = await call(live.url, 'eth_call', [{ to: where, data: '0x' }, 'latest']);
    // A precompile refuses or answers an empty input; an account without code would spend nothing at all.
    const gas = await call(live.url, 'eth_estimateGas', [{ to: where, data: '0x' }, 'latest']);
    t.true(error !== undefined || gas.error !== undefined || BigInt(gas.result as Hex) > 21_000n, name);
  }
  t.is(Object.keys(current.precompiles as object).length, 17);
  for (const where of Object.values(current.systemContracts as Record<string, Hex>)) {
    const code = await call(live.url, 'eth_getCode', [where, 'latest']);
    t.not(code.result, '0x', where);
  }
});
