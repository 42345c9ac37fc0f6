// Owns a run of rpc-compat cases: the imported chain behind the real RPC server, cases one after another, verdicts.

import { prng } from '../../base/prng.ts';
import { methods } from '../../rpc/methods/table.ts';
import { startRpcServer } from '../../rpc/server.ts';
import { fixturePorts } from '../rpc/fixture.ts';
import { scriptedModel, tokens } from '../rpc/scripted-model.ts';
import { importChain } from './rpc-compat-chain.ts';
import { type Case, readCases, runCase, type Verdict } from './rpc-compat-cases.ts';

export type Run = Readonly<{ verdicts: readonly Verdict[]; absent: readonly Case[] }>;

/** Cases that are left failing, with the reason: each is about something this chain cannot hold. */
export const LEFT_FAILING: ReadonlyMap<string, string> = new Map([
  ['debug_getRawBlock/get-block-n', 'a block with an uncle: this chain has none, and keeps no place for them'],
  ['eth_config/get-config', "the imported chain's forks are in its genesis file; this chain has one, since genesis"],
  ['eth_simulateV1/ethSimulate-empty-with-block-num-set-firstblock', 'simulates on a block from before the merge'],
]);

/** Cases of methods this node lacks are `absent`: they are not run. */
export async function runCases(directory: string, take: (index: number) => boolean): Promise<Run> {
  const chain = await importChain(directory);
  const ports = fixturePorts(scriptedModel(tokens('x')), [], chain);
  const random = prng('rpc-compat');
  const server = await startRpcServer({
    chain,
    ports: { ...ports, entropy: (length) => random.bytes(length) },
    host: '127.0.0.1',
    port: 0,
  });
  const send = async (request: unknown): Promise<unknown> => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(server.url, { method: 'POST', headers, body: JSON.stringify(request) });
    return response.json();
  };
  try {
    const verdicts: Verdict[] = [];
    const absent: Case[] = [];
    for (const [index, one] of readCases(directory).entries()) {
      if (!take(index)) continue;
      if (methods.has(one.method)) verdicts.push(await runCase(one, send));
      else absent.push(one);
    }
    return { verdicts, absent };
  } finally {
    await server.close();
  }
}
