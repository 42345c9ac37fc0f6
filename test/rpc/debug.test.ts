// Raw encodings and traces, on a real chain.

import test from 'ava';
import { type Hex, encodeFunctionData, keccak256 } from 'viem';
import { type RpcAnswer, call, ask } from './fixture.ts';
import { account, serveLive } from './live-chain.ts';
import { compile } from './solidity.ts';
import { clients } from './viem-clients.ts';

const SOURCE = `
pragma solidity ^0.8.0;
contract Inner { function fail() external pure { revert("inner"); } }
contract Outer {
  Inner inner = new Inner();
  function run() external returns (uint256) { try inner.fail() {} catch { return 7; } return 0; }
}`;

type Frame = {
  type: string;
  to: string;
  gasUsed: string;
  output: string;
  error?: string;
  revertReason?: string;
  calls: Frame[];
};

test('raw forms hash to what the chain says, and traces show what ran', async (t) => {
  const live = await serveLive(t);
  const { signer, reader, wallet } = clients(live);
  const result = async <T>(method: string, params: readonly unknown[]): Promise<T> => {
    const answer: RpcAnswer = await call(live.url, method, params);
    t.is(answer.error, undefined, `${method}: ${answer.error?.message}`);
    return answer.result as T;
  };
  const { abi, bytecode } = compile('Outer', SOURCE);
  const created = await wallet.deployContract({ abi, bytecode });
  const { contractAddress } = await reader.waitForTransactionReceipt({ hash: created });
  const data = encodeFunctionData({ abi, functionName: 'run' });
  const hash = await wallet.sendTransaction({ to: contractAddress as Hex, data });
  const receipt = await reader.waitForTransactionReceipt({ hash });

  const number = `0x${receipt.blockNumber.toString(16)}`;
  t.is(keccak256(await result<Hex>('debug_getRawHeader', [number])), receipt.blockHash);
  t.is(keccak256(await result<Hex>('debug_getRawTransaction', [hash])), hash);
  t.true((await result<Hex>('debug_getRawBlock', [number])).startsWith('0xf9'));
  t.regex((await result<Hex[]>('debug_getRawReceipts', [number]))[0] ?? '', /^0x02f9/);

  const steps = await result<{ gas: number; structLogs: { op: string }[] }>('debug_traceTransaction', [hash]);
  t.is(steps.gas, Number(receipt.gasUsed));
  t.true(steps.structLogs.some(({ op }) => op === 'REVERT'));
  const tree = await result<Frame>('debug_traceTransaction', [hash, { tracer: 'callTracer' }]);
  t.like(tree, { type: 'CALL', to: contractAddress as string, gasUsed: `0x${receipt.gasUsed.toString(16)}` });
  t.like(tree.calls[0], { type: 'STATICCALL', error: 'execution reverted', revertReason: 'inner' });
  const make = await result<Frame>('debug_traceTransaction', [created, { tracer: 'callTracer' }]);
  t.like(make, { type: 'CREATE', to: contractAddress as string });
  t.is(make.calls[0]?.type, 'CREATE');
  const block = await result<{ txHash: string }[]>('debug_traceBlockByNumber', [number, { tracer: 'callTracer' }]);
  t.is(block[0]?.txHash, hash);
  const called = await result<Frame>('debug_traceCall', [
    { to: contractAddress, data },
    'latest',
    { tracer: 'callTracer' },
  ]);
  t.is(BigInt(called.output), 7n);

  const transfer = await wallet.sendTransaction({ to: account(60).address, value: 5n });
  await reader.waitForTransactionReceipt({ hash: transfer });
  t.deepEqual((await result<{ structLogs: unknown[] }>('debug_traceTransaction', [transfer])).structLogs, []);
  t.like(await result<Frame>('debug_traceTransaction', [transfer, { tracer: 'callTracer' }]), {
    type: 'CALL',
    value: '0x5',
    gasUsed: '0x5208',
  });
  t.is((await call(live.url, 'debug_traceBlockByNumber', ['0x0'])).error?.message, 'genesis is not traceable');
  t.is(
    (await call(live.url, 'debug_traceTransaction', [`0x${'01'.repeat(32)}`])).error?.message,
    'transaction not found',
  );
  t.is((await call(live.url, 'debug_traceTransaction', [hash, { tracer: '{}' }])).error?.code, -32602);

  const history = (await ask(`${live.url}/api/v1/transactions/${signer.address}?limit=2`)).json as {
    items: { hash: string; status: string }[];
    next_cursor: string;
  };
  t.deepEqual(
    history.items.map((item) => item.hash),
    [transfer, hash],
  );
  const rest = await ask(`${live.url}/api/v1/transactions/${signer.address}?limit=2&cursor=${history.next_cursor}`);
  t.like(rest.json, { items: [{ hash: created, status: 'success' }], next_cursor: null });
  t.is((await ask(`${live.url}/api/v1/transactions/${signer.address}?cursor=zz`)).status, 400);
  t.like((await ask(`${live.url}/api/v1/transaction/${transfer}`)).json, { value_wei: '5', status: 'success' });
  t.like((await ask(`${live.url}/api/v1/block/${receipt.blockNumber}`)).json, { transactions: [{ hash }] });
});
