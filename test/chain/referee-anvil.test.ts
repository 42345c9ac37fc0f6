// Owns the test that another EVM gives the referee's verdicts: anvil, when .cache/anvil/anvil or $ANVIL is its program
// (npm package @foundry-rs/anvil-linux-amd64 1.7.1, file bin/anvil); without it the test says so and passes.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { fromHex, type Hex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { prng } from '../../base/prng.ts';
import {
  decodeJudged,
  encodeJudge,
  REFEREE_ADDRESSES,
  REFEREE_NAMES,
  refereeContract,
} from '../../chain/system/referee.ts';
import { bothPieces, drawWord, JUDGED_OPS, judgedCase } from './referee-pieces.ts';
import { openRefereeWorld } from './referee-world.ts';

const program = process.env.ANVIL ?? fileURLToPath(new URL('../../../.cache/anvil/anvil', import.meta.url));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

type Call = (method: string, params: readonly unknown[]) => Promise<unknown>;

/** A client that waits until the node answers. */
async function clientOf(port: number): Promise<Call> {
  const call: Call = async (method, params) => {
    const response = await fetch(`http://127.0.0.1:${port}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    });
    const { result, error } = (await response.json()) as { result?: unknown; error?: { message: string } };
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  for (let tries = 0; ; tries++) {
    try {
      await call('eth_chainId', []);
      return call;
    } catch (error) {
      if (tries === 100) throw error;
      await sleep(100);
    }
  }
}

type Receipt = Readonly<{ gasUsed: Hex; status: Hex }>;

async function mined(call: Call, transaction: Readonly<Record<string, unknown>>): Promise<Receipt> {
  const hash = await call('eth_sendTransaction', [transaction]);
  for (let tries = 0; tries < 100; tries++) {
    const receipt = await call('eth_getTransactionReceipt', [hash]);
    if (receipt !== null) return receipt as Receipt;
    await sleep(50);
  }
  throw new Error('no receipt');
}

test('the same bytecode gives the same verdicts, at the same gas, on another EVM', async (t) => {
  if (!existsSync(program)) {
    t.log('skipped: no anvil at .cache/anvil/anvil');
    t.pass();
    return;
  }
  const port = await freePort();
  const node: ChildProcess = spawn(program, [
    '--port',
    `${port}`,
    '--chain-id',
    '504199',
    '--silent',
    '--hardfork',
    'prague',
  ]);
  t.teardown(() => node.kill());
  const call = await clientOf(port);
  const from = present(((await call('eth_accounts', [])) as Hex[])[0], 'account');
  for (const name of REFEREE_NAMES) {
    await call('anvil_setCode', [REFEREE_ADDRESSES[name], refereeContract(name).runtimeBytecode]);
  }
  const to = REFEREE_ADDRESSES.Referee;
  const world = await openRefereeWorld();
  const random = prng('anvil');
  let most = 0;
  for (const op of JUDGED_OPS) {
    const judged = judgedCase(op, 'anvil') ?? judgedCase(op, 'anvil again');
    for (let k = 0; judged !== null && k < 4; k++) {
      const pieces = bothPieces(judged, ...drawWord(judged, random));
      for (const [{ name, piece, witness }, wanted] of [
        [pieces[0], true],
        [pieces[1], false],
      ] as const) {
        const input = toHex(encodeJudge(piece, witness));
        const here = await world.judge(piece, witness);
        const there = decodeJudged(fromHex((await call('eth_call', [{ from, to, data: input }, 'latest'])) as Hex));
        t.deepEqual([here.holds, there], [wanted, wanted], name);
        const receipt = await mined(call, { from, to, data: input, gas: '0x4c4b40' });
        t.is(receipt.status, '0x1');
        most = Math.max(most, Number(receipt.gasUsed));
        if (Number(receipt.gasUsed) > here.gas) t.log(`${name}: ${here.gas} here, ${Number(receipt.gasUsed)} there`);
      }
    }
  }
  t.log(`most gas of one transaction there: ${most}`);
});
