// Owns wrong versions of the core and of its shell, each of which the simulator has to find: the measure of the simulator.
// A mutant of the core is the compiled code with one piece of text replaced, loaded as modules of its own.

import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { check } from '../../base/check.ts';
import type * as ReplayModule from '../../consensus/replay.ts';
import type * as FutureModule from '../../consensus/future-buffer.ts';
import type * as StepModule from '../../consensus/step.ts';
import { type Core, GOOD_HABITS, type Habits } from './world-parts.ts';

type Change = Readonly<{ file: string; find: string; replace: string }>;

export type Mutant = Readonly<{
  name: string;
  /** Texts of compiled files of consensus/ and what takes their place; none where only the shell is wrong. */
  changes: readonly Change[];
  habits: Habits;
}>;

function core(name: string, file: string, find: string, replace: string): Mutant {
  return { name, changes: [{ file, find, replace }], habits: GOOD_HABITS };
}
function shell(name: string, habit: Partial<Habits>): Mutant {
  return { name, changes: [], habits: { ...GOOD_HABITS, ...habit } };
}

export const MUTANTS: readonly Mutant[] = [
  core('no lock', 'rules.js', 'lockedValue: value, lockedRound: state.round', 'lockedValue: null, lockedRound: -1'),
  core(
    'never unlock',
    'rules.js',
    'state.lockedRound <= input.validRound || state.lockedValue === input.value',
    'state.lockedRound === -1 || state.lockedValue === input.value',
  ),
  core(
    'unlock on any re-proposal',
    'rules.js',
    'state.lockedRound <= input.validRound || state.lockedValue === input.value',
    'true',
  ),
  core('quorum less one', 'quorum.js', '3 * weight > 2 * total', '3 * (weight + 1) > 2 * total'),
  {
    name: 'count a duplicate voter',
    changes: [
      { file: 'vote-keeper.js', find: 'if (count.voters.has(vote.voter))', replace: 'if (false)' },
      { file: 'step.js', find: 'count.received.has(voteKey(vote))', replace: 'false' },
      { file: 'step.js', find: 'count.received.has(voteKey(event.vote))', replace: 'false' },
    ],
    habits: GOOD_HABITS,
  },
  core(
    're-proposal without its polka',
    'driver.js',
    "if (!hasQuorumFor(keeper, 'prevote', validRound, value))",
    'if (false)',
  ),
  core(
    'fresh proposal ignores the lock',
    'rules.js',
    'state.lockedRound === -1 || state.lockedValue === input.value ? input.value : null',
    'input.value',
  ),
  core(
    'valid value not kept',
    'rules.js',
    'validValue: value, validRound: state.round',
    'validValue: null, validRound: -1',
  ),
  core(
    'nil counted for the value',
    'vote-keeper.js',
    'count.weights.get(value) ?? 0, total',
    '(count.weights.get(value) ?? 0) + (value === null ? 0 : count.weights.get(null) ?? 0), total',
  ),
  core(
    'mixed precommits decide',
    'vote-keeper.js',
    'countOf(votes, type).weights.get(value) ?? 0, keeper',
    "type === 'precommit' ? countOf(votes, type).sum : countOf(votes, type).weights.get(value) ?? 0, keeper",
  ),
  core(
    'valid round not below the round',
    'rules.js',
    'input.validRound < 0 || input.validRound >= state.round',
    'input.validRound < 0',
  ),
  {
    name: 'decide in the current round only',
    changes: [
      {
        file: 'driver.js',
        find: "if (hasQuorumFor(keeper, 'precommit', round, value))",
        replace: "if (round === state.rules.round && hasQuorumFor(keeper, 'precommit', round, value))",
      },
      {
        file: 'driver.js',
        find: 'if (hasProposal(state, tally.round, tally.value))',
        replace: 'if (tally.round === round && hasProposal(state, tally.round, tally.value))',
      },
      {
        file: 'settle.js',
        find: "if (hasQuorumFor(state.keeper, 'precommit', proposal.round, proposal.value))",
        replace:
          "if (proposal.round === state.rules.round && hasQuorumFor(state.keeper, 'precommit', proposal.round, proposal.value))",
      },
    ],
    habits: GOOD_HABITS,
  },
  core('unbounded future buffer', 'future-buffer.js', 'mine > share || total + item.bytes > maxBytes', 'false'),
  core('votes of entry not passed on', 'step.js', 'if (rules.round <= 0)', 'if (true)'),
  core('no rule is looked at again', 'settle.js', "state.rules.step === 'commit' || !state.started", 'true'),
  core('no round skip', 'quorum.js', '3 * weight > total', 'false'),
  core(
    'precommit timeout never starts',
    'rules.js',
    "timer: 'precommit', round: state.round",
    "timer: 'precommit', round: -5",
  ),
  shell('signature leaves before anything is persisted', { sendBeforePersist: true, skipLogSync: true }),
  shell('log not synced before signing', { skipLogSync: true }),
  shell('value rebuilt after a restart', { rebuildValue: true, sendBeforePersist: true }),
  shell('polkas not published', { noPolka: true }),
  shell('round in the hash', { roundInHash: true }),
  shell('wrong set after a change', { earlySet: true }),
  shell('evidence with local time', { evidenceClock: true }),
  shell('certificates of peers not checked', { trustSync: true }),
];

/** Loads a mutant from a copy of the compiled core under `folder`, which stands inside the compiled tree. */
export async function loadMutant(mutant: Mutant, built: string, folder: string): Promise<Core> {
  const root = join(folder, mutant.name.replaceAll(' ', '-'));
  let from = join(built, 'consensus');
  if (mutant.changes.length > 0) {
    mkdirSync(root, { recursive: true });
    cpSync(from, join(root, 'consensus'), { recursive: true });
    symlinkSync(join(built, 'base'), join(root, 'base'));
    from = join(root, 'consensus');
  }
  for (const { file, find, replace } of mutant.changes) {
    const before = readFileSync(join(from, file), 'utf8');
    const after = before.replaceAll(find, replace);
    check(after !== before, `mutant ${mutant.name}: its text is in ${file}`);
    writeFileSync(join(from, file), after);
  }
  const step = (await import(pathToFileURL(join(from, 'step.js')).href)) as typeof StepModule;
  const replay = (await import(pathToFileURL(join(from, 'replay.js')).href)) as typeof ReplayModule;
  const future = (await import(pathToFileURL(join(from, 'future-buffer.js')).href)) as typeof FutureModule;
  return {
    heightState: step.heightState,
    step: step.step,
    isKnown: step.isKnown,
    resume: replay.resume,
    leadsTo: replay.leadsTo,
    futureBuffer: future.futureBuffer,
  };
}
