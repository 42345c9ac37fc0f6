// Challenges of a step of two optimizer updates: what only one of them read or made is opened, and numbers are those of its
// own update (rules G-1, P-1 and P-5 of docs/protocol/challenges.md).

import test from 'ava';
import { present } from '../../base/check.ts';
import { answerCall, challengeCall } from '../../chain/system/challenges.ts';
import { readTrainer } from '../../chain/system/views.ts';
import type { Op } from '../../engine/instruction.ts';
import type { Value } from '../../engine/scalar-ops.ts';
import { answerStep } from '../../trainer/dispute-answer.ts';
import { findDifference } from '../../trainer/dispute-find.ts';
import { challengeParameters, disputeShape } from '../../trainer/dispute-roots.ts';
import { disputedStep } from '../../trainer/dispute-step.ts';
import { preset } from '../../trainer/presets.ts';
import { buildTrainProgram } from '../../trainer/train-program.ts';
import { type Cheat, DATASET, MODEL, UPDATING, tables } from '../trainer/dispute-fixture.ts';
import { BOND, CHALLENGER, eventOf, openGame, playGame } from './challenge-game.ts';

const BLOCKS = { answerBlocks: 4, proveBlocks: 4, windowBlocks: 60 };
const MOST_GAS = 5_000_000;
const { instructions } = buildTrainProgram(MODEL, disputeShape(UPDATING, 1));

/** Place of the `nth` instruction of a kind in one of the updates. */
function placeOf(op: Op, update: number, nth = 0): number {
  const each = instructions.length / UPDATING.updates;
  const places = instructions.flatMap((one, at) => (one.op === op && Math.floor(at / each) === update ? [at] : []));
  return present(places[nth], op);
}

/** Changes one bit of one output of an instruction. */
const oneBit = (step: number, at: number, output: number): Cheat => ({
  step,
  alter: (here: number, outputs: readonly Value[]) => {
    if (here !== at) return;
    const { data } = present(outputs[output], 'output');
    const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
    words[3] = (words[3] as number) ^ 1;
  },
});
/** Trains on another token than the data order's. */
const otherInput = (name: 'tokens' | 'targets', row: number): Cheat => ({
  step: 1,
  given: (given) => ({ ...given, [name]: given[name].with(row, (present(given[name][row], 'id') + 1) % MODEL.vocab) }),
});
const otherNumber = (step: number, place: number): Cheat => ({
  step,
  given: (given) => ({
    ...given,
    hyper: given.hyper.with(place, Math.fround(2 * present(given.hyper[place], 'number'))),
  }),
});

const ROWS = (UPDATING.batch / UPDATING.updates) * UPDATING.sequenceLength;
const cases: readonly (readonly [name: string, what: RegExp, cheat: Cheat])[] = [
  ['another token in its first update', /^token 5 /, otherInput('tokens', 5)],
  ['another target in its second update', /^target 21 /, otherInput('targets', ROWS + 5)],
  ['one bit of a product in its first update', /\(linear\)/, oneBit(0, placeOf('linear', 0, 2), 0)],
  ['one bit of a gradient only its first update had', /\(linearGradW\)/, oneBit(1, placeOf('linearGradW', 0, 1), 0)],
  ['one bit of a gradient of its last update', /\(linearGradW\)/, oneBit(1, placeOf('linearGradW', 1, 1), 0)],
  ['one bit of a parameter between its updates', /\(adamW\), output 0/, oneBit(1, placeOf('adamW', 0, 3), 0)],
  ['one bit of a first moment between its updates', /\(adamW\), output 1/, oneBit(0, placeOf('adamW', 0, 2), 1)],
  ['one bit of a second moment after its updates', /\(adamW\), output 2/, oneBit(2, placeOf('adamW', 1, 2), 2)],
  ['another learning rate in its second update', /\(adamW\)/, otherNumber(2, 8)],
  ['another bias correction in its first update', /\(adamW\)/, otherNumber(1, 5)],
];

for (const [name, what, cheat] of cases) {
  test.serial(`a step with ${name}, approved by every authority, ends in a slash`, async (t) => {
    const game = await openGame(cheat, BLOCKS, undefined, UPDATING);
    const played = await playGame(game, cheat.step);
    const most = Math.max(...played.moves.map(({ gas }) => gas));
    const answer = played.moves.find(({ move }) => move === 'answer');
    t.log(
      `${played.describe}: ${played.moves.length} moves, most gas ${most}, answer ${answer?.gas}, ${answer?.bytes} bytes`,
    );
    t.regex(played.describe, what);
    t.like(played.closed, { kind: 'closed', state: 'upheld' });
    t.like(await readTrainer(game.world.view, game.trainer), { status: 'slashed', stakeWei: 0n });
    t.true(most <= MOST_GAS);
    await game.executor.close();
  });
}

test('updates whose answer no transaction could carry are refused when a network is founded', (t) => {
  const model = preset('3.4m', 1024);
  const rules = { ...UPDATING, batch: 12, sequenceLength: 128 };
  const founded = (updates: number) =>
    challengeParameters({ model, rules: { ...rules, updates }, training: DATASET.manifest.train });
  t.like(founded(12), { ok: false, code: 'challenges' });
  t.regex((founded(12) as { message: string }).message, /^12 updates .* 6995 tensors .* more than 3900: fewer updates/);
});

test('an honest trace of such steps shows no difference', async (t) => {
  const { world, trainer, trace, task, executor, round } = await openGame(null, BLOCKS, undefined, UPDATING);
  const parts = { executor, model: MODEL, tables: tables(UPDATING) };
  for (let step = 0; step < UPDATING.steps; step++) {
    const challenged = await world.ok(CHALLENGER, challengeCall(round.round, trainer, step, BOND));
    const own = disputedStep(task, parts, step, present(trace.states[step], 'state'));
    const said = present(answerStep(own, trace.leaves, parts.tables.programProof(1)), 'answer');
    const { id } = eventOf(challenged, 'challenged');
    const answered = eventOf(await world.ok(trainer, answerCall(id, said.answer)), 'answered');
    t.is(findDifference(own, answered).difference.kind, 'none');
  }
  await executor.close();
});
