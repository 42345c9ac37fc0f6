// Owns carried moments in a whole network: trainers go on with them from round to round, authorities keep and execute them, one
// model on every node, with momentum on the outer step; a trainer that was stopped goes on where it was.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { type Hex, fromHex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { stateRoot } from '../../base/merkle.ts';
import type { Claim } from '../../chain/system/api.ts';
import { readClaim, readCurrentRound, readModel, readRound } from '../../chain/system/views.ts';
import { finalStateFile } from '../../node/final-states.ts';
import type { FoundedNode } from '../../node/founding.ts';
import type { RunningNode } from '../../node/node.ts';
import { systemView } from '../../node/system-view.ts';
import { command, foundSmallNetwork, kill, logTails, openStage, startHere, startProcess, waitFor } from './harness.ts';

const AUTHORITIES = 2;
const WAIT_MS = 600_000;

const stage = openStage('moments');
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

const view = (node: RunningNode) => systemView(node.chain);

/** A settled round in which every trainer was accepted with so many rounds behind its moments, or null. */
async function roundInARow(node: RunningNode, trainers: readonly Hex[], rounds: number): Promise<number | null> {
  const newest = await readCurrentRound(view(node));
  for (let round = 0; round < (newest?.round ?? 0); round++) {
    if ((await readRound(view(node), round)).roster.length < trainers.length) continue;
    const claims = await Promise.all(trainers.map((trainer) => readClaim(view(node), round, trainer)));
    const all = claims.every((claim: Claim) => claim.status === 'accepted' && claim.carriedRounds >= rounds);
    if (all) return round;
  }
  return null;
}

test('rounds in a row are accepted with carried moments, and every node has one model', async (t) => {
  t.timeout(20 * 60_000);
  const network = await foundSmallNetwork(stage, {
    authorities: AUTHORITIES,
    regularNodes: 2,
    carryMoments: true,
    updateCodec: 2,
    parameters: {
      ...{ trainBlocks: 120, auditBlocks: 90, minTrainers: 2, outerMomentum: 128 },
      ...{ auditFloorBps: 10_000, deepReplayBps: 10_000, recheckBps: 10_000 },
    },
  });
  const founded = (index: number): FoundedNode => present(network.nodes[index], 'node');
  const authorities = [await startHere(stage, founded(0)), await startHere(stage, founded(1))];
  const [first] = authorities as [RunningNode, RunningNode];
  const nodes = [...authorities, await startHere(stage, founded(AUTHORITIES), { training: true })];
  const other = founded(AUTHORITIES + 1);
  const crashing = startProcess(stage, other, ['--training']);
  const addresses = [founded(AUTHORITIES), other].map(({ address }) => address);
  const second = await waitFor('a second round in a row', WAIT_MS, () => roundInARow(first, addresses, 1));

  // Both authorities executed every step of claims that went on from moments.
  for (const address of addresses) {
    const claim = await readClaim(view(first), second, address);
    t.is(claim.valid.length, AUTHORITIES);
    for (let index = 0; index < AUTHORITIES; index++) {
      const file = finalStateFile(join(stage.directory, 'data', founded(index).name), second, address);
      t.true(existsSync(file), file);
      t.is(toHex(stateRoot(new Uint8Array(readFileSync(file)))), claim.finalStateRoot);
    }
  }

  // Whoever executes such a claim has its start from a node that audited it, or executes the round before it first.
  const right = (index: number, trainer: Hex) => {
    const { configFile, apiPort } = founded(index);
    const words = ['challenge', '--config-file', configFile, '--port', String(apiPort), '--round', String(second)];
    return command(stage.directory, [...words, '--trainer', trainer], WAIT_MS);
  };
  const [held, rebuilt] = [await right(0, other.address), await right(AUTHORITIES, other.address)];
  for (const { code, stdout, stderr } of [held, rebuilt]) {
    t.is(code, 0, stderr);
    t.regex(stdout, /the claim is right/);
  }
  t.notRegex(held.stdout, /executed first/);
  t.regex(rebuilt.stdout, /executed first/);

  // One that dies while a round waits for it goes on with the moments it had.
  await waitFor('a round in training', WAIT_MS, async () =>
    (await readCurrentRound(view(first)))?.phase === 'training' ? true : null,
  );
  const died = present(await readCurrentRound(view(first)), 'round').round;
  await kill(crashing);
  startProcess(stage, other, ['--training']);
  await waitFor('the round after it settled', WAIT_MS, async () =>
    ((await readCurrentRound(view(first)))?.round ?? 0) > died + 1 ? true : null,
  );
  const [its, next] = [
    await readClaim(view(first), died, other.address),
    await readClaim(view(first), died + 1, other.address),
  ];
  t.deepEqual([its.status, next.status, next.carriedRounds], ['accepted', 'accepted', its.carriedRounds + 1]);

  const models = await waitFor('one model on every node', WAIT_MS, async () => {
    const { root, version } = await readModel(view(first));
    const current = nodes.map((node) => node.learning()?.keeper.current());
    const file = join(stage.directory, 'data', other.name, 'models', `${root.slice(2)}.bin`);
    const everywhere = current.every((model) => model?.record.root === root) && existsSync(file);
    return version >= 3 && everywhere ? current : null;
  });
  for (const model of models) {
    const { record, params } = present(model, 'model');
    t.deepEqual(stateRoot(params), fromHex(record.root));
  }
});
