// Owns what becomes of authorities that do not do their work in a network with real audits: one that says VALID with a digest it
// made up is accused by the others, convicted and loses its bond; an honest one that is accused falsely keeps it.

import test from 'ava';
import { type Hex, toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { keccak256 } from '../../base/hash.ts';
import { addressOf, secp256k1 } from '../../base/keys.ts';
import { ONE_GWEI, ONE_POL } from '../../base/units.ts';
import type { ContractCall, Trial } from '../../chain/system/api.ts';
import { CALL_GAS, accuseCall, commitVerdictsCall } from '../../chain/system/calls.ts';
import { readBond, readCurrentRound, readRound, readTrial, readTrialCount } from '../../chain/system/views.ts';
import { systemClock } from '../../node/clock.ts';
import type { RunningNode } from '../../node/node.ts';
import { systemView } from '../../node/system-view.ts';
import { signTransaction } from '../../node/wallet.ts';
import { foundSmallNetwork, logTails, openStage, startHere, waitFor } from './harness.ts';

const AUTHORITIES = 4;
const WAIT_MS = 240_000;
const BOND = 100n * ONE_POL;
const ACCUSATION = 5n * ONE_POL;

const stage = openStage('lazy');
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

const strangerKey = keccak256(utf8('a stranger with coins'));
const stranger = addressOf(secp256k1.publicKey(strangerKey));

/** Puts a stranger's transaction into every node's pool, as gossip would. */
function sendAsStranger(nodes: readonly RunningNode[], call: ContractCall): void {
  const { chain } = present(nodes[0], 'node');
  const { raw } = signTransaction(
    {
      chainId: chain.chainId,
      nonce: BigInt(chain.pool.pendingNonce(stranger)),
      maxPriorityFeePerGas: ONE_GWEI,
      maxFeePerGas: 100n * ONE_GWEI,
      gas: CALL_GAS.accuse,
      to: call.to,
      value: call.value,
      data: call.data,
    },
    strangerKey,
  );
  for (const node of nodes) node.chain.pool.add(raw, systemClock.monotonic());
}

async function trialOf(node: RunningNode, wanted: (trial: Trial) => boolean): Promise<Trial | null> {
  const view = systemView(node.chain);
  const count = await readTrialCount(view);
  for (let number = 0; number < count; number++) {
    const trial = await readTrial(view, number);
    if (wanted(trial) && trial.state !== 'open') return trial;
  }
  return null;
}

test('a made-up digest costs its authority the bond, and a false accusation costs the accuser', async (t) => {
  t.timeout(9 * 60_000);
  const network = await foundSmallNetwork(stage, {
    authorities: AUTHORITIES,
    regularNodes: 1,
    // Certainty is wanted here: every claim is executed, and every verdict of the others again.
    parameters: { auditFloorBps: 10_000, recheckBps: 10_000, canaryBps: 0, auditBlocks: 60, disputeBlocks: 120 },
    funded: [{ address: stranger, amount: 1_000n * ONE_POL }],
  });
  const lazy = present(network.nodes[3], 'authority').address;
  const honest = present(network.nodes[1], 'authority').address;
  const digest: Hex = toHex(keccak256(utf8('nothing was executed')));
  const nodes: RunningNode[] = [];
  for (const founded of network.nodes.slice(0, 3)) nodes.push(await startHere(stage, founded));
  nodes.push(
    await startHere(stage, present(network.nodes[3], 'authority'), {
      tamperVerdicts: (entries) => entries.map((entry) => (entry.verdict === 'valid' ? { ...entry, digest } : entry)),
    }),
  );
  nodes.push(await startHere(stage, present(network.nodes[4], 'trainer'), { training: true }));
  const watched = present(nodes[0], 'node');
  const bondOf = (account: Hex) => readBond(systemView(watched.chain), account);
  t.is((await bondOf(lazy)).bondWei, BOND);

  const conviction = await waitFor('the lazy authority convicted', WAIT_MS, () =>
    trialOf(watched, ({ accused }) => accused === lazy),
  );
  t.is(conviction.state, 'guilty');
  t.is(conviction.kind, 'digest');
  t.deepEqual([...conviction.guilty].sort(), [0, 1, 2], 'the three others executed and agree');
  t.is((await bondOf(lazy)).bondWei, 0n);
  const bounty = (await bondOf(conviction.accuser)).creditWei;
  t.is(bounty, BOND / 5n + ACCUSATION, 'a fifth of the bond, and its own back');
  t.log(`convicted of round ${conviction.round} by authority ${conviction.accuser}`);

  // The round it lied about is of use to everyone else; its claim was true.
  const round = await readRound(systemView(watched.chain), conviction.round);
  t.is(round.roster[0]?.status, 'accepted');
  const { bondWei: before, creditWei } = await bondOf(honest);
  t.is(before, BOND);
  sendAsStranger(
    nodes,
    accuseCall({ round: conviction.round, authority: honest, seat: 0, kind: 'digest' }, ACCUSATION),
  );
  const acquittal = await waitFor('the false accusation judged', WAIT_MS, () =>
    trialOf(watched, ({ accuser }) => accuser === stranger),
  );
  t.is(acquittal.state, 'innocent');
  t.is((await bondOf(honest)).bondWei, BOND);
  t.is((await bondOf(honest)).creditWei - creditWei, ACCUSATION / 5n);
  t.is((await bondOf(stranger)).creditWei, 0n);

  // A seal that is a copy of another's opens nothing, and strangers have none.
  const running = present(await readCurrentRound(systemView(watched.chain)), 'round');
  sendAsStranger(nodes, commitVerdictsCall(running.round, digest));
  const later = await waitFor('another round accepted', WAIT_MS, async () =>
    (watched.learning()?.history.rounds() ?? []).some(
      ({ round, outcome }) => round > running.round && outcome === 'moved',
    )
      ? true
      : null,
  );
  t.true(later);
  for (const index of [0, 1, 2]) {
    const { address } = present(network.nodes[index], 'authority');
    t.is((await bondOf(address)).bondWei, BOND, 'no honest authority loses anything');
  }
});
