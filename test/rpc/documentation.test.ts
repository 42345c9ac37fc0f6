// The documentation of the HTTP side names every method and route there is. UPDATE_DOCS=1 writes the method table.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { rpcLimits } from '../../rpc/limits.ts';
import { restRoutes } from '../../rpc/rest.ts';
import { fixturePorts } from './fixture.ts';
import { withMethodsTable } from './method-table.ts';
import { scriptedModel } from './scripted-model.ts';
import { stubChain } from './stub-chain.ts';

const path = (name: string) => fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url));

test('docs/json-rpc.md holds the method table as it is', (t) => {
  const text = readFileSync(path('json-rpc.md'), 'utf8');
  const wanted = withMethodsTable(text);
  if (wanted === null) return t.fail('docs/json-rpc.md lacks the marks of its table');
  if (process.env.UPDATE_DOCS === '1') writeFileSync(path('json-rpc.md'), wanted);
  else t.is(text, wanted, 'run the tests once with UPDATE_DOCS=1');
  return t.pass();
});

test('docs/rest-api.md names every route with its summary', (t) => {
  const text = readFileSync(path('rest-api.md'), 'utf8');
  const chain = stubChain();
  const ports = fixturePorts(scriptedModel([]), [], chain);
  const routes = restRoutes({ chain, ports, limits: rpcLimits, generations: () => ({ running: 0, waiting: 0 }) });
  for (const { path: route, summary } of routes) {
    const shown = route.replace(/:value$/, (_, at: number) => `{${parameter(route.slice(0, at))}}`);
    t.true(text.includes(`| \`${shown}\` | ${summary} |`), `| \`${shown}\` | ${summary} |`);
  }
});

/** What the last path part stands for. */
function parameter(route: string): string {
  const names: Readonly<Record<string, string>> = {
    block: 'number',
    rounds: 'id',
    transaction: 'hash',
  };
  return names[route.split('/').at(-2) ?? ''] ?? 'address';
}
