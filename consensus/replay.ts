// Owns recovery: the core brought back by its own events, which of the effects they had are still to be carried out, and
// whether they are all there.

import type { Effect } from './effect.ts';
import type { Event } from './input.ts';
import { type HeightState, step } from './step.ts';

function effectsOf(core: HeightState, events: readonly Event[]): Effect[] {
  const effects = [...step(core, { kind: 'start' }).effects];
  for (const event of events) effects.push(...step(core, event).effects);
  return effects;
}

/**
 * True when the events, fed to a fresh core, lead to the signature at this round and step (1 proposal, 2 prevote, 3 precommit).
 * The log is durable before a signature is: events that do not lead to the last one have lost their end, and with it locks.
 */
export function leadsTo(core: HeightState, events: readonly Event[], round: number, signStep: number): boolean {
  return effectsOf(core, events).some((effect) => {
    if (effect.kind === 'sign-offer') return signStep === 1 && effect.offer.round === round;
    if (effect.kind !== 'sign-ballot' || effect.ballot.round !== round) return false;
    return signStep === (effect.ballot.type === 'prevote' ? 2 : 3);
  });
}

/** Steps a fresh core through the events logged before a crash, and answers the effects not yet performed, in order. */
export function resume(core: HeightState, events: readonly Event[]): Effect[] {
  const effects = effectsOf(core, events);
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
