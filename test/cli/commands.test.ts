// The commands as a shell runs them: what they print, where they refuse, with which exit code.

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { freePorts } from '../../node/free-ports.ts';

const command = fileURLToPath(new URL('../../../bin/pol-node.mjs', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'commands-'));
test.after.always(() => rmSync(directory, { recursive: true, force: true }));

type Outcome = { code: number; out: string; error: string };

function pol(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [command, ...args],
      { cwd: directory, env: { ...process.env, NO_COLOR: '1' } },
      (failure, out, error) => {
        resolve({ code: failure === null ? 0 : Number(failure.code), out, error });
      },
    );
  });
}

test('every published command is listed, and no flag takes a secret', async (t) => {
  const { out } = await pol('--help');
  for (const name of ['create-network', 'run', 'status', 'balance', 'send', 'chat', 'generate-config', 'dev', 'demo'])
    t.true(out.includes(name), name);
  const all = await Promise.all(
    ['run', 'send', 'create-network', 'generate-config'].map((name) => pol(name, '--help')),
  );
  for (const help of all) t.notRegex(help.out, /--(secret|private-key|password|mnemonic|wallet-sk)\s/);
});

test('bench measures what fits and refuses unknown sizes', async (t) => {
  const { code, out } = await pol('bench', 'engine', '0.3m', '--seconds', '0.1', '--json');
  t.is(code, 0);
  const { machine, rows } = JSON.parse(out) as {
    machine: { threads: number };
    rows: { ok: boolean; preset: string }[];
  };
  t.is(machine.threads, 1);
  t.deepEqual(
    rows.map(({ ok, preset }) => [ok, preset]),
    [[true, '0.3m']],
  );
  const refused = await pol('bench', 'engine', '5m');
  t.is(refused.code, 1);
  t.regex(refused.error, /^pol-node: preset 5m is not one of 0\.3m, /);
});

test('wrong usage exits with 2, a refusal with 1, each in one line without a stack', async (t) => {
  const [none, unknown, badFlag, missing] = await Promise.all([
    pol(),
    pol('fly'),
    pol('run', '--wings', '2'),
    pol('run', '--config-file', 'nothing.json'),
  ]);
  t.is(none.code, 2);
  t.is(unknown.code, 2);
  t.is(badFlag.code, 2);
  t.is(missing.code, 1);
  t.regex(missing.error, /^pol-node: config file .*nothing\.json: ENOENT\n$/);
  for (const { error } of [none, unknown, badFlag, missing]) t.notRegex(error, /\n\s+at /);
});

test('generate-config writes what run reads, and never over an existing file', async (t) => {
  const made = await pol(
    'generate-config',
    '--output',
    'my_config.json',
    '--node-id',
    'my-custom-node',
    '--port',
    '8000',
    '--is-authority',
  );
  t.is(made.code, 0, made.error);
  const config = JSON.parse(readFileSync(join(directory, 'my_config.json'), 'utf8'));
  t.is(config.node_id, 'my-custom-node');
  t.true(config.is_authority);
  for (const key of [
    'node_id',
    'port',
    'api_port',
    'is_authority',
    'boot_nodes',
    'data_dir',
    'training_enabled',
    'model_size',
    'batch_size',
    'learning_rate',
  ]) {
    t.true(key in config, key);
  }
  const again = await pol('generate-config', '--output', 'my_config.json');
  t.is(again.code, 1);
  t.regex(again.error, /exists; --force replaces it/);
  const shown = await pol('config', '--config-file', 'my_config.json', '--json');
  t.is(JSON.parse(shown.out).sources.node_id, 'file');
  const run = await pol('run', '--config-file', 'my_config.json');
  t.is(run.code, 1);
  t.regex(run.error, /genesis_file: no network named/);
});

test('commands that ask a node say so when none answers', async (t) => {
  const [port = 0] = await freePorts(1);
  for (const args of [['status'], ['balance'], ['chat', '--prompt', 'hello']]) {
    const { code, error } = await pol(...args, '--port', String(port));
    t.is(code, 1);
    t.regex(error, /no node answers at http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)/);
  }
});

test('send refuses what is no address, no amount, or without a key, before it asks anybody', async (t) => {
  const good = ['--to', `0x${'aa'.repeat(20)}`, '--amount', '1'];
  const outcomes = await Promise.all([
    pol('send', '--to', '0x1234', '--amount', '1'),
    pol('send', '--to', `0x${'aa'.repeat(20)}`, '--amount', 'ten'),
    pol('send', ...good, '--port', '1'),
    pol('send', ...good, '--keystore', 'none.json', '--password-file', 'none'),
  ]);
  const expected = [
    /--to: must be 0x and 40 hex digits/,
    /--amount: must be POL/,
    /no keystore in a config/,
    /keystore_file: cannot read none\.json/,
  ];
  outcomes.forEach(({ code, error }, i) => {
    t.is(code, 1);
    t.regex(error, expected[i] as RegExp);
  });
});

test('create-network refuses numbers out of range and a folder that holds a network', async (t) => {
  const outcomes = await Promise.all([
    pol('create-network', '--authorities', '0'),
    pol('create-network', '--authorities', '101'),
    pol('create-network', '--chain-id', '1337'),
    pol('create-network', '--learning-rate', '2'),
    pol('create-network', '--corpus', 'the-internet'),
    pol('create-network', '--outer-step', '0.3'),
    pol('create-network', '--outer-step', '65'),
    pol('create-network', '--updates', '3'),
    pol('create-network', '--updates', '17', '--batch-size', '34'),
    pol('create-network', '--updates', '2', '--micro-batch', '8'),
  ]);
  const expected = [
    /authorities: must be a whole number from 1 to 100/,
    /authorities/,
    /chain_id: 1337/,
    /learning_rate/,
    /corpus/,
    /outer_step: must be a multiple of 1\/16 above 0, up to 64, not 0\.3/,
    /outer_step: .* not 65/,
    /updates: must divide batch_size 8, not 3/,
    /updates: must be a whole number from 1 to 16, not 17/,
    /micro_batch: must divide the 4 sequences of an update, not 8/,
  ];
  outcomes.forEach(({ code, error }, i) => {
    t.not(code, 0);
    t.regex(error, expected[i] as RegExp);
  });
  t.false(existsSync(join(directory, 'data')));
  const taken = join(directory, 'taken', 'data');
  const { mkdirSync } = await import('node:fs');
  mkdirSync(taken, { recursive: true });
  writeFileSync(join(taken, 'genesis.json'), '{}');
  const { code, error } = await pol('create-network', '--output', 'taken');
  t.is(code, 1);
  t.regex(error, /there is a network in this folder already/);
});
