// Owns what becomes of dishonest trainers in a whole network with real audits: rejected by a dispute, slashed, out; while the
// honest one in the same rounds is accepted and keeps its stake.

import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { ONE_POL } from '../../base/units.ts';
import type { Claim } from '../../chain/system/api.ts';
import { STRUCTURE_STEP } from '../../chain/system/api.ts';
import { readClaim, readSupply, readTrainer } from '../../chain/system/views.ts';
import type { FoundedNetwork, FoundedNode } from '../../node/founding.ts';
import { type RunningNode, readGenesis } from '../../node/node.ts';
import { systemView } from '../../node/system-view.ts';
import { type Answer, claimWith, datasetOf, updateAfter } from './forged-claims.ts';
import { foundSmallNetwork, logTails, openStage, startHere, waitFor } from './harness.ts';

const AUTHORITIES = 3;
const ROUND_MS = 200_000;
const STAKE = 100n * ONE_POL;
const STEPS = 4;

const stage = openStage('cheaters');
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

type Tamper = (answer: Answer, node: RunningNode) => Answer | Promise<Answer>;

/** What each trainer sent in the place of its own work, by round. */
const forged = new Map<Hex, number>();

async function startTrainer(founded: FoundedNode, tamper: Tamper): Promise<RunningNode> {
  let node: RunningNode | null = null;
  node = await startHere(stage, founded, {
    training: true,
    tamper: (answer) => tamper(answer as Answer, present(node, 'running trainer')),
  });
  return node;
}

function tampers(network: FoundedNetwork, captured: Map<number, Answer>): Readonly<Record<string, Tamper>> {
  const definition = unwrap(readGenesis(network.genesisFile));
  const dataset = datasetOf(definition, network.genesisFile);
  const note = (answer: Answer, node: RunningNode): Answer => {
    forged.set(node.address, answer.commit.round);
    return answer;
  };
  return {
    honest(answer) {
      captured.set(answer.commit.round, answer);
      return answer;
    },
    // One bit of one step's state root.
    async alters(answer, node) {
      const change = (leaf: { stateRoot: Uint8Array }) => leaf.stateRoot.with(7, (leaf.stateRoot[7] as number) ^ 1);
      const claim = await claimWith({ node, definition, dataset }, answer, (leaves) =>
        leaves.map((leaf, step) => (step === 2 ? { ...leaf, stateRoot: change(leaf) } : leaf)),
      );
      return note(claim, node);
    },
    // Stops after half of the steps and repeats the last leaf; the update is that of where it stopped.
    async skips(answer, node) {
      const { round } = answer.commit;
      const name = present(
        network.nodes.find(({ address }) => address === node.address),
        'node',
      ).name;
      const dataDir = join(stage.directory, 'data', name);
      const last = STEPS / 2 - 1;
      const claim = await claimWith(
        { node, definition, dataset },
        answer,
        (leaves) => leaves.map((leaf, step) => (step > last ? present(leaves[last], 'leaf') : leaf)),
        updateAfter(dataDir, round, last),
      );
      return note(claim, node);
    },
    // Sends the honest trainer's whole proof as its own.
    async copies(answer, node) {
      const { round } = answer.commit;
      return note(
        await waitFor(`a proof to copy in round ${round}`, ROUND_MS, async () => captured.get(round) ?? null),
        node,
      );
    },
  };
}

async function slashed(node: RunningNode, trainer: Hex): Promise<Claim> {
  const round = await waitFor('the forged claim', ROUND_MS, async () => forged.get(trainer) ?? null);
  return waitFor(`${trainer} slashed for round ${round}`, ROUND_MS, async () => {
    const view = systemView(node.chain);
    if ((await readTrainer(view, trainer)).status !== 'slashed') return null;
    return readClaim(view, round, trainer);
  });
}

/** Rejected by an upheld dispute in which a quorum re-executed the step; stake and future gone. */
async function isPunished(t: ExecutionContext, node: RunningNode, trainer: Hex, step: number): Promise<void> {
  const claim = await slashed(node, trainer);
  t.is(claim.status, 'rejected');
  const upheld = claim.disputes.find(({ state }) => state === 'upheld');
  t.is(upheld?.step, step);
  t.is(upheld?.invalid.length, AUTHORITIES, 'every authority found it false by itself');
  t.deepEqual(upheld?.valid, []);
  const record = await readTrainer(systemView(node.chain), trainer);
  t.like(record, { status: 'slashed', stakeWei: 0n, unvestedGwei: 0n, accepted: 0 });
}

test('an altered step, skipped steps and a copied proof are each rejected and slashed; the honest trainer is not', async (t) => {
  t.timeout(8 * 60_000);
  const network = await foundSmallNetwork(stage, {
    authorities: AUTHORITIES,
    regularNodes: 4,
    stepsPerRound: STEPS,
    // Certainty is wanted here: every authority re-executes every step.
    parameters: {
      auditFloorBps: 10_000,
      samplesPerAudit: STEPS,
      canaryBps: 0,
      trainBlocks: 90,
      auditBlocks: 90,
      disputeBlocks: 60,
    },
  });
  const captured = new Map<number, Answer>();
  const { honest, alters, skips, copies } = tampers(network, captured);
  const founded = (index: number): FoundedNode => present(network.nodes[index], 'node');
  const authorities: RunningNode[] = [];
  for (let i = 0; i < AUTHORITIES; i++) authorities.push(await startHere(stage, founded(i)));
  const watched = present(authorities[0], 'authority');
  const good = await startTrainer(founded(AUTHORITIES), present(honest, 'honest'));
  const cheats = [alters, skips, copies].map((tamper) => present(tamper, 'cheat'));
  const cheaters: RunningNode[] = [];
  for (const [i, tamper] of cheats.entries()) cheaters.push(await startTrainer(founded(AUTHORITIES + 1 + i), tamper));
  const burnedBefore = (await readSupply(systemView(watched.chain))).burnedWei;

  const falseSteps = [2, STEPS / 2, STRUCTURE_STEP];
  for (const [i, cheater] of cheaters.entries()) {
    await isPunished(t, watched, cheater.address, present(falseSteps[i], 'step'));
    t.log(`slashed in round ${forged.get(cheater.address)}: cheat ${i}`);
  }
  const supply = await readSupply(systemView(watched.chain));
  // 80% of a slashed stake is burned.
  t.is(supply.burnedWei - burnedBefore, (3n * STAKE * 8n) / 10n);

  const after = Math.max(...forged.values()) + 1;
  const next = await waitFor(`round ${after} accepted without the cheaters`, ROUND_MS, async () => {
    const found = watched.learning()?.history.round(after) ?? null;
    return found?.outcome === 'moved' ? found : null;
  });
  t.deepEqual([...next.claims.keys()], [good.address]);
  for (const round of present(watched.learning(), 'learning').history.rounds()) {
    if (round.round > after) continue;
    t.like(round.claims.get(good.address), { status: 'accepted', slashedWei: 0n }, `round ${round.round}`);
    t.is(round.outcome, 'moved');
  }
  t.like(await readTrainer(systemView(watched.chain), good.address), {
    status: 'active',
    stakeWei: STAKE,
    rejected: 0,
  });
  for (const node of stage.running) {
    const root = waitFor('its model', 60_000, async () => node.learning()?.history.round(after)?.modelRoot ?? null);
    t.is(await root, present(next.modelRoot, 'model'));
  }
  for (const { address } of cheaters) t.is((await readTrainer(systemView(watched.chain), address)).rejected, 1);
});
