// Owns what a node does about a claim that it found false itself while the round let it stand: it opens a challenge, once, with
// its bond, and plays it to the end, also after a restart. It may look for such claims, too: a share of what others had accepted.

import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Hex, fromHex, isHex, u64be } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';
import { ONE_POL } from '../base/units.ts';
import type { Chain } from '../chain/api.ts';
import type { RoundRecord, ViewCall } from '../chain/system/api.ts';
import { type ChallengeRecord, readChallenge, readChallengeCount } from '../chain/system/challenges.ts';
import { readAuthoritySet, readClaim, readRound, readTrainer } from '../chain/system/views.ts';
import { isFinalState } from '../trainer/moments.ts';
import { answerChallenger } from './challenge-port.ts';
import { challengeBond } from './challenger.ts';
import type { Clock } from './clock.ts';
import type { EngineThread } from './engine-thread.ts';
import { writeFileDurably } from './files.ts';
import {
  CHALLENGES_FOLLOWED,
  CHALLENGE_GAMES,
  CHALLENGE_GAS_RESERVE_POL,
  CHALLENGE_RETRY_BLOCKS,
  CHALLENGE_TURN_BLOCKS,
  CLAIMS_FOLLOWED,
  CLAIMS_FOUND_BYTES,
  STARTS_KEPT,
  STATE_BYTES,
} from './limits.ts';
import type { Logger } from './logger.ts';
import type { ModelKeeper } from './model-keeper.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import type { StateFetch } from './state-exchange.ts';

/** A claim to follow. `step` is where this node's execution gave other bits; null when it has still to be executed. */
export type FollowedClaim = Readonly<{ round: number; trainer: Hex; step: number | null }>;

export type ClaimWatch = Readonly<{
  /** Takes note of a claim this node executed and found false, with the state before that step when there is one. */
  found(claim: FollowedClaim, start: Uint8Array | null): void;
  onHead(record: RoundRecord | null, view: ViewCall): Promise<void>;
  stop(): void;
}>;

export type ClaimWatchOptions = Readonly<{
  chain: Chain;
  definition: NetworkDefinition;
  address: Hex;
  secretKey: Uint8Array;
  dataDir: string;
  /** Whole POL that may be lost or held in bonds since the start; 0 for no challenges. */
  budget: number;
  /** One claim of each trainer in so many of its rounds is executed again; 0 for none. */
  checkRounds: number;
  thread: EngineThread;
  keeper: ModelKeeper;
  fetchStates: StateFetch;
  sender: ProtocolSender;
  clock: Clock;
  log: Logger;
}>;

type Followed = FollowedClaim & { notBefore: number; playing: boolean };

const keyOf = ({ round, trainer }: FollowedClaim): string => `${round}-${trainer}`;
const isOpen = ({ state }: ChallengeRecord): boolean => ['challenged', 'answered', 'asked'].includes(state);
const isStanding = (status: string): boolean => status === 'accepted' || status === 'unresolved';

type ClaimFiles = Readonly<{
  load(): FollowedClaim[];
  save(claims: readonly FollowedClaim[]): void;
  /** The state a false step starts from: the trainer may not serve it twice. */
  saveStart(claim: FollowedClaim, state: Uint8Array): void;
  loadStart(claim: FollowedClaim): Uint8Array | null;
  forgetStart(claim: FollowedClaim): void;
}>;

function openClaimFiles(directory: string): ClaimFiles {
  const path = join(directory, 'claims');
  const startOf = (claim: FollowedClaim): string => join(directory, `${keyOf(claim)}.state`);
  return {
    load() {
      if (!existsSync(path)) return [];
      const text = readFileSync(path, 'utf8');
      if (text.length > CLAIMS_FOUND_BYTES) return [];
      return text.split('\n').flatMap((line): FollowedClaim[] => {
        const [round, trainer, step] = line.split(' ');
        if (!/^\d{1,15}$/.test(round ?? '') || !isHex(trainer, 20) || !/^(?:\d{1,10}|-)$/.test(step ?? '')) return [];
        return [{ round: Number(round), trainer, step: step === '-' ? null : Number(step) }];
      });
    },
    save(claims) {
      const lines = claims.map(({ round, trainer, step }) => `${round} ${trainer} ${step ?? '-'}\n`);
      writeFileDurably(path, lines.join(''));
    },
    saveStart: (claim, state) => writeFileDurably(startOf(claim), state),
    loadStart(claim) {
      const file = startOf(claim);
      return existsSync(file) && statSync(file).size <= STATE_BYTES ? new Uint8Array(readFileSync(file)) : null;
    },
    forgetStart: (claim) => rmSync(startOf(claim), { force: true }),
  };
}

/** Null in a network without challenges. */
export function createClaimWatch(options: ClaimWatchOptions): ClaimWatch | null {
  const { chain, definition, address, thread, keeper, sender, clock, log } = options;
  const bondWei = challengeBond(definition);
  if (bondWei === null || BigInt(options.budget) * ONE_POL < bondWei) return null;
  const bond = bondWei;
  const windowBlocks = Number(definition.genesis.challenges?.['windowBlocks'] ?? 0);
  const file = openClaimFiles(join(options.dataDir, 'claims-found'));
  const { steps } = definition.rules;
  const answer = answerChallenger({
    ...{ chain, sender, keeper, clock },
    async finalState(round, trainer, root) {
      for await (const bytes of options.fetchStates(trainer, round, steps))
        if (isFinalState(root, bytes, bytes.length)) return bytes;
      return null;
    },
  });
  const claims = new Map<string, Followed>();
  for (const claim of file.load()) claims.set(keyOf(claim), { ...claim, notBefore: 0, playing: false });
  let lostWei = 0n;
  let sampled = -1;
  let stopped = false;
  let looking = false;

  function follow(claim: FollowedClaim): void {
    if (claims.has(keyOf(claim))) return;
    if (claims.size >= CLAIMS_FOLLOWED) {
      log.warn('claim not followed: too many are', { ...claim, limit: CLAIMS_FOLLOWED });
      return;
    }
    claims.set(keyOf(claim), { ...claim, notBefore: 0, playing: false });
    file.save([...claims.values()]);
  }

  function drop(claim: Followed, why: string): void {
    claims.delete(keyOf(claim));
    file.forgetStart(claim);
    file.save([...claims.values()]);
    log.info('claim no longer followed', { round: claim.round, trainer: claim.trainer, why });
  }

  /**
   * One claim of each trainer in every `checkRounds` of its rounds, at a place only this node knows: no habit outlasts that,
   * however rarely a single claim is looked at.
   */
  async function sample(record: RoundRecord, view: ViewCall): Promise<void> {
    const settled = record.phase === 'done' ? 1 : 0;
    if (options.checkRounds === 0 || record.round <= sampled) return;
    if (settled === 0 && record.phase !== 'attesting') return;
    sampled = record.round;
    for (const { trainer, status } of record.roster) {
      if (!isStanding(status) || trainer === address) continue;
      const { accepted, rejected, unresolved, missed } = await readTrainer(view, trainer);
      const before = accepted + rejected + unresolved + missed - settled;
      const window = u64be(Math.floor(before / options.checkRounds));
      const lot = taggedHash('claim-check', options.secretKey, fromHex(trainer), window);
      const place = new DataView(lot.buffer, lot.byteOffset, lot.length).getUint32(0) % options.checkRounds;
      if (before % options.checkRounds === place) follow({ round: record.round, trainer, step: null });
    }
  }

  /** Others may have found the same: authorities go one after the other, others after them. */
  async function turnOf(view: ViewCall, record: RoundRecord): Promise<number> {
    const { members } = await readAuthoritySet(view, record.setVersion);
    const index = members.findIndex((member) => member.address === address);
    return index < 0 ? members.length : (index + record.round) % members.length;
  }

  async function openChallenges(view: ViewCall, { round, trainer }: FollowedClaim): Promise<ChallengeRecord[]> {
    const count = await readChallengeCount(view);
    const found: ChallengeRecord[] = [];
    for (let id = count; id > 0 && id > count - CHALLENGES_FOLLOWED; id--) {
      const challenge = await readChallenge(view, id);
      if (challenge.round === round && challenge.trainer === trainer && isOpen(challenge)) found.push(challenge);
    }
    return found;
  }

  async function canPay(): Promise<boolean> {
    const games = BigInt([...claims.values()].filter(({ playing }) => playing).length);
    if (lostWei + (games + 1n) * bond > BigInt(options.budget) * ONE_POL) return false;
    const state = chain.state(chain.head().header.number);
    return state.ok && (await state.value.balance(address)) >= bond + CHALLENGE_GAS_RESERVE_POL * ONE_POL;
  }

  async function play(claim: Followed, id: number | null): Promise<void> {
    const { round, trainer, step } = claim;
    claim.playing = true;
    try {
      log.info(step === null ? 'executing an accepted claim again' : 'challenging a claim found false', {
        round,
        trainer,
        step,
        id,
      });
      const say = (line: string): void => log.debug('challenge', { round, trainer, line });
      const wish = { round, trainer, step, id, start: file.loadStart(claim) };
      const found = await thread.challenge({ wish, address, bondWei: bond }, answer, say);
      if (!found.ok) {
        log.warn('challenge not played', { round, trainer, reason: found.message });
        return;
      }
      const { outcome, moves } = found.value;
      if (outcome === 'dismissed') lostWei += bond;
      log.info('challenge played', { round, trainer, outcome, step: found.value.step, moves });
      drop(claim, outcome);
    } catch (error) {
      if (!stopped) log.warn('challenge not played', { round, trainer, reason: String(error) });
    } finally {
      claim.playing = false;
      claim.notBefore = chain.head().header.number + CHALLENGE_RETRY_BLOCKS;
    }
  }

  async function move(claim: Followed, view: ViewCall): Promise<void> {
    const head = chain.head().header.number;
    if (claim.playing || head < claim.notBefore) return;
    const record = await readRound(view, claim.round).catch(() => null);
    if (record === null) return drop(claim, 'its round is no longer kept');
    if (!['attesting', 'settling', 'done'].includes(record.phase)) return;
    const { status, committedBlock } = await readClaim(view, claim.round, claim.trainer);
    const open = await openChallenges(view, claim);
    const mine = open.find(({ challenger }) => challenger === address);
    if (mine === undefined) {
      if (!isStanding(status)) return drop(claim, `it is ${status}`);
      if (head > committedBlock + windowBlocks) return drop(claim, 'the window is over');
      if (head < record.revealedBlock + CHALLENGE_TURN_BLOCKS * (await turnOf(view, record))) return;
      // One challenge is enough, unless another holds the claim only to let the window pass.
      if (open.length > 0 && head < committedBlock + windowBlocks / 2) return;
      if (!(await canPay())) {
        log.warn('a false claim stands: no coins or budget for a challenge', {
          ...keyed(claim),
          budget: options.budget,
        });
        claim.notBefore = head + CHALLENGE_RETRY_BLOCKS;
        return;
      }
    }
    if ([...claims.values()].filter(({ playing }) => playing).length >= CHALLENGE_GAMES) return;
    // Not awaited: a game takes minutes.
    void play(claim, mine?.id ?? null);
  }

  return {
    found(claim, start) {
      // What is false of the whole has no step: the search looks at all.
      const step = claim.step !== null && claim.step < definition.rules.steps ? claim.step : null;
      if (claims.has(keyOf(claim))) return;
      if (step !== null && start !== null && claims.size < STARTS_KEPT) file.saveStart(claim, start);
      follow({ ...claim, step });
    },
    stop() {
      stopped = true;
    },
    async onHead(record, view) {
      if (looking || stopped) return;
      looking = true;
      try {
        if (record !== null) await sample(record, view);
        for (const claim of [...claims.values()]) await move(claim, view);
      } finally {
        looking = false;
      }
    },
  };
}

const keyed = ({ round, trainer }: FollowedClaim): Pick<FollowedClaim, 'round' | 'trainer'> => ({ round, trainer });
