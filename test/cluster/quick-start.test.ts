// Owns the README's quick start as a stranger would type it, on one network of processes, and what survives kill -9.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Hex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { stateRoot } from '../../base/merkle.ts';
import { parsePol } from '../../base/units.ts';
import type { ChildNode } from '../../node/child-nodes.ts';
import type { FoundedNode } from '../../node/founding.ts';
import {
  type RoundView,
  acceptedRounds,
  api,
  blockHash,
  command,
  freeRange,
  heightOf,
  kill,
  logTails,
  openStage,
  reaches,
  startProcess,
  status,
  waitFor,
} from './harness.ts';

const AUTHORITIES = 4;
const TRAINERS = 2;
const COUNT = AUTHORITIES + TRAINERS;
const ROUND_MS = 180_000;

const stage = openStage('quick-start');
const { directory } = stage;
const nodes: FoundedNode[] = [];
const children = new Map<string, ChildNode>();

const at = (index: number): FoundedNode => present(nodes[index], 'node');
const authority = (index: number): FoundedNode => at(index);
const trainer = (index: number): FoundedNode => at(AUTHORITIES + index);

function start(node: FoundedNode): void {
  // One trainer computes in WebAssembly whatever the others have: their roots must agree all the same.
  const flags = node.isAuthority
    ? []
    : node.name === trainer(1).name
      ? ['--training', '--engine', 'wasm']
      : ['--training'];
  children.set(node.name, startProcess(stage, node, flags));
}

function killNode(node: FoundedNode): Promise<void> {
  return kill(present(children.get(node.name), node.name));
}

async function balance(node: FoundedNode, address: string): Promise<bigint> {
  return BigInt(String((await api(node, `balance/${address}`))['balance_wei']));
}

function acceptedAtLeast(node: FoundedNode, count: number): Promise<RoundView[]> {
  return waitFor(`${count} accepted rounds on ${node.name}`, ROUND_MS, async () => {
    const rounds = await acceptedRounds(node);
    return rounds.length >= count ? rounds : null;
  });
}

/** Every node's model file of a root has that root: each holds parameters it computed or checked itself. */
async function holdModel(t: ExecutionContext, root: Hex | null): Promise<void> {
  if (root === null) throw new Error('the round made a model');
  for (const node of nodes) {
    const file = join(directory, 'data', node.name, 'models', `${root.slice(2)}.bin`);
    await waitFor(`${node.name} holds model ${root}`, 60_000, async () => (existsSync(file) ? true : null));
    t.is(toHex(stateRoot(new Uint8Array(readFileSync(file)))), root, node.name);
  }
}

async function agreeAt(t: ExecutionContext, height: number): Promise<void> {
  const expected = await blockHash(authority(0), height);
  for (const node of nodes) {
    await reaches(node, height, 60_000);
    t.is(await blockHash(node, height), expected, `${node.name} at ${height}`);
  }
}

test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

test.serial('create-network writes configs, keys and genesis, and says how to start each node', async (t) => {
  const port = await freeRange(COUNT);
  let apiPort = await freeRange(COUNT);
  while (Math.abs(apiPort - port) < COUNT) apiPort = await freeRange(COUNT);
  const words = `--authorities ${AUTHORITIES} --nodes ${TRAINERS} --port ${port} --api-port ${apiPort}`;
  const small = '--corpus moby-dick --model-size 300000 --batch-size 8 --steps 32';
  const made = await command(directory, ['create-network', ...words.split(' '), ...small.split(' ')]);
  t.is(made.code, 0, made.stderr);
  for (let i = 0; i < COUNT; i++) {
    const isAuthority = i < AUTHORITIES;
    const name = isAuthority ? `authority_${i}` : `node_${i}`;
    const flags = isAuthority ? '' : ' --training';
    t.true(made.stdout.includes(`pol-node run --config-file ${name}_config.json${flags}\n`), name);
    const configFile = join(directory, `${name}_config.json`);
    t.true(existsSync(configFile));
    nodes.push({ name, configFile, port: port + i, apiPort: apiPort + i, address: '0x', isAuthority });
  }
  const again = await command(directory, ['create-network', ...words.split(' ')]);
  t.is(again.code, 1);
  t.regex(again.stderr, /genesis\.json exists.*--output/);
});

test.serial('six processes from those configs reach an accepted round that mints', async (t) => {
  for (const node of nodes) start(node);
  for (const [i, node] of nodes.entries()) {
    const { address } = await waitFor(`${node.name} answers`, 60_000, () => status(node));
    nodes[i] = { ...node, address: address as FoundedNode['address'] };
  }
  const first = present((await acceptedAtLeast(authority(0), 1))[0], 'first round');
  t.true(first.contributions.some(({ state }) => state === 'accepted'));
  t.true(first.contributions.every(({ slashed_wei }) => slashed_wei === '0'));
  const supply = await waitFor('minted coins', 30_000, async () => {
    const now = await api(authority(0), 'supply');
    return BigInt(String(now['minted_wei'])) > 0n ? now : null;
  });
  t.log(`minted ${supply['minted']} POL, held-out loss ${first.held_out_loss}`);
});

test.serial('status, balance, send and chat answer as the README prints them', async (t) => {
  const port = String(authority(0).apiPort);
  const shown = await command(directory, ['status', '--port', port]);
  t.is(shown.code, 0, shown.stderr);
  for (const word of ['blockchain height', 'model root', 'loss', 'peers']) t.true(shown.stdout.includes(word), word);

  const to = '0x00000000000000000000000000000000000000aa';
  const sent = await command(directory, ['send', '--port', port, '--to', to, '--amount', '10.0']);
  t.is(sent.code, 0, sent.stderr);
  t.regex(sent.stdout, /^sent 10 POL from 0x[0-9a-f]{40} to 0x0{38}aa\n0x[0-9a-f]{64} in block \d+\n$/);
  const got = await command(directory, ['balance', to, '--port', port]);
  t.is(got.stdout, `${to}  10 POL\n`);
  const own = await command(directory, ['balance', '--port', port]);
  t.true(own.stdout.startsWith(authority(0).address), own.stdout);
  // The other nodes see the transfer too: it is final, not pending.
  await waitFor('the transfer on a trainer', 20_000, async () =>
    (await balance(trainer(0), to)) === parsePol('10') ? true : null,
  );

  const prompt = 'Explain how blockchain consensus works';
  const chat = await command(directory, ['chat', '--port', port, '--prompt', prompt, '--max-tokens', '20']);
  t.is(chat.code, 0, chat.stderr);
  t.regex(chat.stdout, /[\s\S]+\n\(model 0x[0-9a-f]{16}\)\n$/);
  const none = await command(directory, ['status', '--port', '1']);
  t.is(none.code, 1);
  t.regex(none.stderr, /^pol-node: no node answers at http:\/\/127\.0\.0\.1:1 .*\n$/);
});

test.serial('rewards vest into wallets round by round, and every node computes the same model', async (t) => {
  const before = await Promise.all(nodes.map((node) => balance(node, node.address)));
  const had = (await acceptedRounds(authority(0))).length;
  const rounds = await acceptedAtLeast(authority(0), had + 1);
  for (const index of [0, 1]) {
    const earner = trainer(index);
    await waitFor(`${earner.name} earns`, 60_000, async () =>
      (await balance(authority(0), earner.address)) > present(before[AUTHORITIES + index], 'balance') ? true : null,
    );
  }
  const last = present(rounds.at(-1), 'last round');
  for (const node of nodes) {
    const theirs = (await acceptedAtLeast(node, rounds.length)).slice(0, rounds.length);
    t.deepEqual(
      theirs.map(({ round, model_root }) => [round, model_root]),
      rounds.map(({ round, model_root }) => [round, model_root]),
      node.name,
    );
  }
  await holdModel(t, last.model_root);
  await agreeAt(t, await heightOf(authority(0)));
  t.log(`held-out losses ${rounds.map(({ held_out_loss }) => held_out_loss?.toFixed(3)).join(' ')}`);
});

async function midRound(node: FoundedNode): Promise<number> {
  return waitFor(`${node.name} in mid-round`, ROUND_MS, async () => {
    const training = await api(node, 'training/status');
    const [step, steps] = [Number(training['step'] ?? 0), Number(training['steps_per_round'])];
    return training['phase'] === 'training' && training['is_training'] === true && step >= 1 && step < steps
      ? Number(training['round'])
      : null;
  });
}

test.serial(
  'kill -9 of an authority in mid-round: blocks and rounds go on, and it comes back and agrees',
  async (t) => {
    const victim = authority(2);
    await midRound(trainer(1));
    await killNode(victim);
    const height = await heightOf(authority(0));
    const accepted = (await acceptedRounds(authority(0))).length;
    // Four blocks have four proposers in turn: the dead one's turn is among them.
    await reaches(authority(0), height + 6, 90_000);
    await acceptedAtLeast(authority(0), accepted + 1);
    start(victim);
    await waitFor(`${victim.name} caught up`, 90_000, async () => {
      const [mine, theirs] = [await status(victim), await heightOf(authority(0))];
      return mine['syncing'] === false && Number(mine['blockchain_height']) >= theirs - 1 ? true : null;
    });
    const target = await heightOf(authority(0));
    await agreeAt(t, target);
    await holdModel(t, present((await acceptedRounds(authority(0))).at(-1), 'newest round').model_root);
  },
);

test.serial(
  'kill -9 of a trainer in mid-round: it resumes, commits in the same round and stays in the roster',
  async (t) => {
    const victim = trainer(1);
    const round = await midRound(victim);
    await killNode(victim);
    const height = await heightOf(authority(0));
    await reaches(authority(0), height + 2, 60_000);
    start(victim);
    const mine = (view: RoundView) => view.contributions.find(({ trainer: address }) => address === victim.address);
    const closed = await waitFor(`round ${round} closes`, ROUND_MS, async () => {
      const view = (await api(authority(0), `rounds/${round}`)) as unknown as RoundView;
      return view.model_root === null ? null : view;
    });
    t.is(mine(closed)?.state, 'accepted');
    const log = readFileSync(present(children.get(victim.name), 'child').logFile, 'utf8');
    const resumed = log.split('\n').some((line) => {
      if (!line.includes('"round trained"')) return false;
      const entry = JSON.parse(line) as { round: number; resumedAt: number };
      return entry.round === round && entry.resumedAt > 0;
    });
    t.true(resumed, 'went on from a kept state, not from the start');
    const next = await waitFor('the round after', ROUND_MS, async () => {
      const rounds = await acceptedRounds(authority(0));
      return rounds.find((view) => view.round > round) ?? null;
    });
    t.is(mine(next)?.state, 'accepted');
    await holdModel(t, next.model_root);
    const supply = await api(authority(0), 'supply');
    const total = [supply['genesis_wei'], supply['minted_wei']].map((wei) => BigInt(String(wei)));
    t.is(
      (total[0] ?? 0n) + (total[1] ?? 0n) - BigInt(String(supply['burned_wei'])),
      BigInt(String(supply['total_wei'])),
    );
  },
);
