// Owns recovery: the core brought back by its own events, and which of the effects they had are still to be carried out.

import type { Effect } from './effect.ts';
import type { Event } from './input.ts';
import { type HeightState, step } from './step.ts';

/** Steps a fresh core through the events logged before a crash, and answers the effects not yet performed, in order. */
export function resume(core: HeightState, events: readonly Event[]): Effect[] {
  const effects = [...step(core, { kind: 'start' }).effects];
  for (const event of events) effects.push(...step(core, event).effects);
  const { self, rules } = core.driver;
  const done = new Set<string>();
  for (const event of events) {
    if (event.kind === 'timeout') done.add(`start-timer|${event.timer}|${event.round}`);
    else if (event.kind === 'built') done.add(`build|${event.round}`);
    else if (event.kind === 'vote' && event.vote.voter === self) {
      done.add(`sign-ballot|${event.vote.type}|${event.vote.round}`);
    } else if (event.kind === 'proposal' && event.proposal.proposer === self) {
      done.add(`sign-offer|${event.proposal.round}`);
    }
  }
  return effects.filter((effect) => {
    switch (effect.kind) {
      case 'build':
        return effect.round === rules.round && rules.step === 'propose' && !done.has(`build|${effect.round}`);
      case 'sign-ballot':
        return !done.has(`sign-ballot|${effect.ballot.type}|${effect.ballot.round}`);
      case 'sign-offer':
        return !done.has(`sign-offer|${effect.offer.round}`);
      case 'start-timer':
        return effect.round === rules.round && !done.has(`start-timer|${effect.timer}|${effect.round}`);
      default:
        return true;
    }
  });
}
