// Owns reading traces of the published Tendermint specification (ITF, gzipped) and naming their parts as the core does.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { check } from '../../base/check.ts';
import type { RuleInput, TimerKind } from '../../consensus/input.ts';
import type { Proposal, Vote } from '../../consensus/message.ts';
import type { Step } from '../../consensus/round-state.ts';

export type Itf = { readonly [name: string]: Itf } & readonly Itf[];
export type Sum = Readonly<{ tag: string; value: Itf }>;
export type TraceState = Readonly<Record<string, Itf>>;
/** `actions` has the model's name of the action that led to each state; null in the hand-written tests. */
export type Trace = Readonly<{
  name: string;
  kind: string;
  states: readonly TraceState[];
  actions: readonly (string | null)[];
}>;

export function int(value: Itf | undefined): number {
  const digits = (value as unknown as { '#bigint'?: string } | undefined)?.['#bigint'];
  check(typeof digits === 'string', 'itf: an integer');
  return Number(digits);
}
export function list(value: Itf | undefined): readonly Itf[] {
  const record = value as unknown as Record<string, readonly Itf[]>;
  const items = Array.isArray(value) ? (value as readonly Itf[]) : (record['#set'] ?? record['#tup']);
  check(items !== undefined, 'itf: a set, tuple or list');
  return items;
}
export function entries(value: Itf | undefined): readonly (readonly [Itf, Itf])[] {
  const items = (value as unknown as Record<string, unknown>)['#map'];
  check(Array.isArray(items), 'itf: a map');
  return items as (readonly [Itf, Itf])[];
}
export const str = (value: Itf | undefined): string => value as unknown as string;
export const bool = (value: Itf | undefined): boolean => value as unknown as boolean;
export const sum = (value: Itf | undefined): Sum => value as unknown as Sum;
export const field = (value: Itf | undefined, name: string): Itf => (value as Itf)[name] as Itf;
export const item = (value: Itf | undefined, index: number): Itf => list(value)[index] as Itf;

/** `Val(v)` or `Nil`. */
export function valueOrNil(value: Itf | undefined): string | null {
  return sum(value).tag === 'Nil' ? null : str(sum(value).value);
}

const STEPS: Readonly<Record<string, Step>> = {
  NoStep: 'new',
  UnstartedStep: 'unstarted',
  ProposeStep: 'propose',
  PrevoteStep: 'prevote',
  PrecommitStep: 'precommit',
  CommitStep: 'commit',
};
export const step = (value: Itf | undefined): Step => STEPS[sum(value).tag] as Step;

const TIMERS: Readonly<Record<string, TimerKind>> = {
  ProposeTimeout: 'propose',
  PrevoteTimeout: 'prevote',
  PrecommitTimeout: 'precommit',
};
export const timer = (value: Itf | undefined): TimerKind => TIMERS[sum(value).tag] as TimerKind;

const UNSIGNED = new Uint8Array(0);

export function vote(value: Itf | undefined): Vote {
  return {
    type: sum(field(value, 'voteType')).tag === 'Prevote' ? 'prevote' : 'precommit',
    height: int(field(value, 'height')),
    round: int(field(value, 'round')),
    value: valueOrNil(field(value, 'valueId')),
    voter: str(field(value, 'srcAddress')),
    signature: UNSIGNED,
  };
}

export function proposal(value: Itf | undefined): Proposal {
  return {
    height: int(field(value, 'height')),
    round: int(field(value, 'round')),
    value: str(field(value, 'proposal')),
    validRound: int(field(value, 'validRound')),
    proposer: str(field(value, 'srcAddress')),
    signature: UNSIGNED,
  };
}

/** Input of the rules; null is the specification's `NoConsensusInput`. */
export function ruleInput(value: Itf | undefined): RuleInput | null {
  const { tag, value: body } = sum(value);
  switch (tag) {
    case 'NoConsensusInput':
      return null;
    case 'NewRoundCInput':
      return { kind: 'new-round', round: int(body) };
    case 'NewRoundProposerCInput':
      return { kind: 'new-round-proposer', round: int(body) };
    case 'ProposeValueCInput':
      return { kind: 'propose-value', value: str(body) };
    case 'ProposalCInput':
      return { kind: 'proposal', round: int(item(body, 0)), value: valueOrNil(item(body, 1)) as string };
    case 'ProposalInvalidCInput':
      return { kind: 'proposal-invalid' };
    case 'ProposalAndPolkaPreviousAndValidCInput':
      return {
        kind: 'proposal-and-old-polka',
        value: valueOrNil(item(body, 0)) as string,
        validRound: int(item(body, 1)),
      };
    case 'ProposalAndPolkaAndInvalidCInput':
      return { kind: 'invalid-proposal-and-polka', value: valueOrNil(body) as string };
    case 'PolkaNilCInput':
      return { kind: 'polka-nil' };
    case 'PolkaAnyCInput':
      return { kind: 'polka-any' };
    case 'ProposalAndPolkaAndValidCInput':
      return { kind: 'proposal-and-polka', value: valueOrNil(body) as string };
    case 'PrecommitAnyCInput':
      return { kind: 'precommit-any' };
    case 'ProposalAndCommitAndValidCInput':
      return { kind: 'proposal-and-commit', round: int(item(body, 0)), value: str(item(body, 1)) };
    case 'RoundSkipCInput':
      return { kind: 'round-skip', round: int(body) };
    case 'TimeoutProposeCInput':
      return { kind: 'timeout-propose', height: int(item(body, 0)), round: int(item(body, 1)) };
    case 'TimeoutPrevoteCInput':
      return { kind: 'timeout-prevote', height: int(item(body, 0)), round: int(item(body, 1)) };
    case 'TimeoutPrecommitCInput':
      return { kind: 'timeout-precommit', height: int(item(body, 0)), round: int(item(body, 1)) };
    default:
      throw new Error(`unknown rule input ${tag}`);
  }
}

/** Files of the folder and its subfolders, relative to it, in name order. */
export function traceFiles(directory: string): string[] {
  return (readdirSync(directory, { recursive: true }) as string[])
    .filter((name) => name.endsWith('.itf.json.gz'))
    .sort();
}

/** Names lose their module prefix: `asyncModels::N4F0::system` becomes `system`. */
export function readTrace(directory: string, name: string): Trace {
  const json = JSON.parse(gunzipSync(readFileSync(join(directory, name))).toString('utf8')) as Record<string, Itf>;
  const actions: (string | null)[] = [];
  const states = list(json.states).map((state) => {
    const out: Record<string, Itf> = {};
    actions.push(str(field(state, 'mbt::actionTaken')) ?? null);
    for (const [key, value] of Object.entries(state)) {
      if (!key.startsWith('mbt::') && key !== '#meta')
        out[key.slice(key.lastIndexOf(':') + 1)] = value as unknown as Itf;
    }
    return out;
  });
  return { name, kind: str(field(json['#meta'], 'kind')), states, actions };
}
