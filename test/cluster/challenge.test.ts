// Owns the open challenge in a whole network: authorities that collude approve a claim with one flipped bit, an outsider with a
// funded key proves it false by the command, and the trainer is slashed. An honest trainer that is challenged keeps its stake.

import test from 'ava';
import { type Hex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { ONE_POL } from '../../base/units.ts';
import {
  CHALLENGES_ADDRESS,
  challengeCall,
  readChallenge,
  readChallengeCredit,
  settleCall,
} from '../../chain/system/challenges.ts';
import { decodeSystemLog } from '../../chain/system/events.ts';
import { readTrainer } from '../../chain/system/views.ts';
import { challengeChain } from '../../cli/challenge-chain.ts';
import { createExecutor } from '../../engine/executor.ts';
import { systemClock } from '../../node/clock.ts';
import { loadConfig } from '../../node/config.ts';
import type { FoundedNode } from '../../node/founding.ts';
import { openKeystore } from '../../node/keystore.ts';
import { type NodeOptions, type RunningNode, readGenesis } from '../../node/node.ts';
import { systemView } from '../../node/system-view.ts';
import { FALSE_STEP, createFlippedBit } from './flipped-bit.ts';
import { type Answer, datasetOf } from './forged-claims.ts';
import { HOST, command, foundSmallNetwork, logTails, openStage, startHere, waitFor } from './harness.ts';

/** One authority approves everything; more would do the same. */
const AUTHORITIES = 1;
const STAKE = 100n * ONE_POL;
const WAIT_MS = 200_000;
const FINAL_GAS = 5_000_000;

const stage = openStage('challenge');
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

async function keyOf(node: FoundedNode): Promise<Readonly<{ secretKey: Uint8Array; address: Hex }>> {
  const { config } = unwrap(loadConfig({ file: node.configFile, flags: {}, environment: {} }));
  return unwrap(await openKeystore(config.keystore_file, config.password_file));
}

/** Seconds of block time from the challenge to its end. */
async function secondsOf(node: RunningNode, id: number): Promise<number> {
  const range = { fromBlock: 1, toBlock: node.chain.head().header.number, addresses: [CHALLENGES_ADDRESS], topics: [] };
  const logs = unwrap(await node.chain.logs(range));
  const times: number[] = [];
  for (const { address, topics, data, blockTimestamp } of logs) {
    const event = decodeSystemLog({ address, topics, data: toHex(data) });
    if (event === null || !('id' in event) || event.id !== id) continue;
    if (event.kind !== 'challenged' && event.kind !== 'closed') continue;
    times.push(blockTimestamp);
  }
  return present(times.at(-1), 'end') - present(times[0], 'start');
}

test('an outsider proves a flipped bit that every authority approved; a wrongly challenged trainer gains', async (t) => {
  t.timeout(8 * 60_000);
  const network = await foundSmallNetwork(stage, {
    authorities: AUTHORITIES,
    regularNodes: 3,
    // A step of two optimizer updates, a sequence each.
    updates: 2,
    parameters: { trainBlocks: 90, auditBlocks: 90, minTrainers: 2 },
    challenges: { answerBlocks: 60, proveBlocks: 24 },
  });
  const definition = unwrap(readGenesis(network.genesisFile));
  const dataset = datasetOf(definition, network.genesisFile);
  const executor = await createExecutor({ backend: 'wasm' });
  const cheat = createFlippedBit(executor, definition, dataset);
  const founded = (index: number): FoundedNode => present(network.nodes[index], 'node');
  const approve: NodeOptions['tamperVerdicts'] = (entries) =>
    entries.map((entry) => ({ ...entry, verdict: 'valid', step: 0, digest: `0x${'07'.repeat(32)}` }));
  const authority = await startHere(stage, founded(0), {
    tamperVerdicts: approve,
    // It saw other bits, and keeps to what it said.
    flags: { challenge_budget: 0 },
  });
  const honest = await startHere(stage, founded(AUTHORITIES + 1), { training: true });
  let cheater: RunningNode | null = null;
  cheater = await startHere(stage, founded(AUTHORITIES + 2), {
    training: true,
    tamper: (answer) => cheat.claim(answer as Answer, present(cheater, 'cheater')),
    tamperDispute: cheat.reply,
  });
  const view = () => systemView(authority.chain);

  const accepted = await waitFor('the forged claim accepted by all', WAIT_MS, async () => {
    const round = cheat.round();
    const seen = round === null ? null : (authority.learning()?.history.round(round) ?? null);
    return seen?.claims.get(present(cheater, 'cheater').address)?.status === 'accepted' && seen.outcome === 'moved'
      ? seen
      : null;
  });
  t.like(await readTrainer(view(), cheater.address), { status: 'active', rejected: 0 });

  // The outsider runs no node: it has its key, the files of the founding, and asks the authority's API.
  const node = founded(AUTHORITIES);
  const { apiPort } = founded(0);
  const words = (trainer: Hex): string[] => [
    ...['challenge', '--config-file', node.configFile, '--port', String(apiPort)],
    ...['--round', String(accepted.round), '--trainer', trainer],
  ];
  const right = await command(stage.directory, words(honest.address), 240_000);
  t.is(right.code, 0, right.stderr);
  t.regex(right.stdout, /the claim is right/);

  const start = systemClock.monotonic();
  const done = await command(stage.directory, [...words(cheater.address), '--json'], 300_000);
  const seconds = (systemClock.monotonic() - start) / 1_000;
  t.is(done.code, 0, done.stderr);
  const outcome = JSON.parse(done.stdout) as { outcome: string; step: number; moves: number; lastGas: number };
  t.log(`${seconds.toFixed(1)} s, ${done.stdout.trim()}`);
  t.like(outcome, { outcome: 'upheld', step: FALSE_STEP });
  t.true(outcome.moves <= 12);
  t.true(outcome.lastGas <= FINAL_GAS);
  t.true((await secondsOf(authority, 1)) < 120);
  t.like(await readTrainer(view(), cheater.address), { status: 'slashed', stakeWei: 0n });

  const wallet = await keyOf(node);
  const chain = challengeChain({ host: HOST, port: apiPort }, wallet);
  const sent = await chain.send(challengeCall(accepted.round, honest.address, 1, 5n * ONE_POL), 400_000n);
  t.true(sent.ok, sent.reason);
  const id = 2;
  await waitFor('the honest trainer has answered by itself', 100_000, async () =>
    (await readChallenge(view(), id)).state === 'answered' ? true : null,
  );
  const over = await waitFor('the challenge dismissed', 60_000, async () => {
    const challenge = await readChallenge(view(), id);
    if (challenge.state === 'answered' && authority.chain.head().header.number > challenge.deadline + 3)
      await chain.send(settleCall(id), 300_000n);
    return challenge.state === 'dismissed' ? challenge : null;
  });
  t.is(over.trainer, honest.address);
  t.like(await readTrainer(view(), honest.address), { status: 'active', stakeWei: STAKE });
  t.is(await readChallengeCredit(view(), honest.address), ONE_POL);
  await executor.close();
});
