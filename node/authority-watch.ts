// Owns an authority's watch over the others: draws that do not follow from the proof, digests no execution gives, canaries that
// were approved. It accuses on chain, and judges what others accuse. Rules J-11 to J-14 of docs/protocol/learning-round.md.

import { type Hex, fromHex, toHex } from '../base/bytes.ts';
import { ONE_GWEI } from '../base/units.ts';
import { vrfVerify } from '../base/vrf.ts';
import type { Chain } from '../chain/api.ts';
import type { AccusationKind, AuthoritySet, RoundRecord, Trial, VerdictEntry, ViewCall } from '../chain/system/api.ts';
import { CALL_GAS, accuseCall, closeTrialCall, judgeAuthorityCall } from '../chain/system/calls.ts';
import type { SystemEvent } from '../chain/system/events.ts';
import { readAuthoritySet, readTrial, readTrialCount } from '../chain/system/views.ts';
import { type AuditDraw, type AuditRules, auditAlpha, auditSalt, drawClaim, drawsRecheck } from '../trainer/sample.ts';
import type { AuditExecutor } from './audit-executor.ts';
import { OPEN_TRIALS } from './limits.ts';
import type { Logger } from './logger.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import type { Reveal, RoundNotebook, RoundNotes } from './round-notes.ts';

type Accusation = Readonly<{ round: number; authority: Hex; seat: number; kind: AccusationKind }>;
type Recheck = Readonly<{ round: number; authority: Hex; seat: number }>;

export type AuthorityWatch = Readonly<{
  onEvents(events: readonly SystemEvent[]): void;
  /** Does what is due at this head, at most one execution. Rounds are checked once their reveals have ended. */
  work(record: RoundRecord, view: ViewCall): Promise<void>;
}>;

export type AuthorityWatchOptions = Readonly<{
  chain: Chain;
  definition: NetworkDefinition;
  address: Hex;
  /** This authority's own random output of a round. */
  betaOf: (record: RoundRecord) => Uint8Array;
  notebook: RoundNotebook;
  execute: AuditExecutor;
  sender: ProtocolSender;
  log: Logger;
}>;

const keyOf = ({ round, authority, seat, kind }: Accusation): string => `accuse-${round}-${authority}-${seat}-${kind}`;

export function createAuthorityWatch(options: AuthorityWatchOptions): AuthorityWatch {
  const { chain, definition, address, notebook, execute, sender, log } = options;
  const rules: AuditRules = definition.parameters;
  const chainId = Number(chain.chainId);
  const checked = new Set<number>();
  const rechecks: Recheck[] = [];
  const accusations = new Map<string, { accusation: Accusation; notBefore: number }>();
  const charged = new Set<string>();
  const trials = new Map<number, { judged: boolean }>();
  const sets = new Map<number, AuthoritySet>();
  let scanned = false;

  async function setOf(view: ViewCall, version: number): Promise<AuthoritySet> {
    const known = sets.get(version);
    if (known !== undefined) return known;
    const set = await readAuthoritySet(view, version);
    sets.set(version, set);
    return set;
  }

  /** The random output of an authority's reveal; null when its proof is none. */
  function betaBehind(record: RoundRecord, set: AuthoritySet, authority: Hex, reveal: Reveal): Uint8Array | null {
    const member = set.members.find((each) => each.address === authority);
    if (member === undefined) return null;
    return vrfVerify(fromHex(member.publicKey), auditAlpha(chainId, record.round, fromHex(record.seed)), reveal.proof);
  }

  function drawOf(record: RoundRecord, notes: RoundNotes, beta: Uint8Array, seat: number): AuditDraw | null {
    const entry = record.roster[seat];
    const commitment = entry === undefined ? undefined : notes.commitments.get(entry.trainer);
    if (entry === undefined || commitment === undefined) return null;
    const { trainer, auditRateBps } = entry;
    const claim = { trainer: fromHex(trainer), traceRoot: fromHex(commitment.traceRoot), auditRateBps };
    return drawClaim(beta, claim, rules);
  }

  /** What can be seen of a verdict without executing anything. */
  function plainFault(
    record: RoundRecord,
    notes: RoundNotes,
    draw: AuditDraw,
    said: VerdictEntry,
  ): AccusationKind | null {
    if (said.verdict === 'passed' && draw.drawn) return 'draw';
    if (said.verdict === 'valid' && !draw.drawn) return 'draw';
    const trainer = record.roster[said.seat]?.trainer;
    const canary = trainer === undefined ? undefined : notes.canaries.get(trainer);
    return said.verdict === 'valid' && canary !== undefined && draw.sample.includes(canary) ? 'canary' : null;
  }

  function suspect(accusation: Accusation, set: AuthoritySet): void {
    const key = keyOf(accusation);
    if (charged.has(key) || accusations.has(key) || accusations.size >= OPEN_TRIALS) return;
    // Others see the same: each waits for its turn, so that one accusation is sent and not one from everybody.
    const place = (who: Hex): number => set.members.findIndex((member) => member.address === who);
    const turn = (place(address) - place(accusation.authority) - 1 + set.members.length) % set.members.length;
    accusations.set(key, { accusation, notBefore: chain.head().header.number + turn });
    log.warn('another authority is suspected', { ...accusation });
  }

  async function checkRound(record: RoundRecord, notes: RoundNotes, view: ViewCall): Promise<void> {
    const set = await setOf(view, record.setVersion);
    const ownBeta = options.betaOf(record);
    for (const [authority, reveal] of notes.reveals) {
      if (authority === address) continue;
      const beta = betaBehind(record, set, authority, reveal);
      for (const said of reveal.entries) {
        const accused = { round: record.round, authority, seat: said.seat };
        const draw = beta === null ? null : drawOf(record, notes, beta, said.seat);
        const kind = beta === null ? 'draw' : draw === null ? null : plainFault(record, notes, draw, said);
        if (kind !== null) suspect({ ...accused, kind }, set);
        if (beta === null) break; // One accusation says it all.
        const checks = said.verdict === 'valid' && drawsRecheck(ownBeta, fromHex(authority), said.seat, rules);
        if (kind === null && checks && rechecks.length < OPEN_TRIALS) rechecks.push(accused);
      }
    }
  }

  /** Whether a digest is not what an execution gives; null when it cannot be executed. */
  async function falseDigest(
    record: RoundRecord,
    notes: RoundNotes,
    authority: Hex,
    beta: Uint8Array,
    said: VerdictEntry,
  ): Promise<boolean | null> {
    const draw = drawOf(record, notes, beta, said.seat);
    const trainer = record.roster[said.seat]?.trainer;
    const commitment = trainer === undefined ? undefined : notes.commitments.get(trainer);
    if (draw === null || trainer === undefined || commitment === undefined) return null;
    const salt = auditSalt(beta, fromHex(authority));
    const task = { kind: 'recheck', sample: draw.sample } as const;
    const found = await execute(record, commitment, trainer, salt, task);
    if (found.verdict === 'valid') return toHex(found.digest) !== said.digest;
    // A sampled step is false, so whoever executed it could not have found VALID.
    return found.verdict === 'invalid' ? true : null;
  }

  async function recheck({ round, authority, seat }: Recheck, view: ViewCall): Promise<void> {
    const loaded = await notebook.load(view, round);
    if (!loaded.ok) return;
    const { record, notes } = loaded.value;
    const set = await setOf(view, record.setVersion);
    const reveal = notes.reveals.get(authority);
    const said = reveal?.entries.find((entry) => entry.seat === seat);
    const beta = reveal === undefined ? null : betaBehind(record, set, authority, reveal);
    if (said === undefined || beta === null) return;
    const found = await falseDigest(record, notes, authority, beta, said);
    log.debug('rechecked', { round, authority, seat, false: String(found) });
    if (found === true) suspect({ round, authority, seat, kind: 'digest' }, set);
  }

  /** By what is public: true guilty, false innocent, null when it cannot be told. */
  async function guilt(trial: Trial, view: ViewCall): Promise<boolean | null> {
    const loaded = await notebook.load(view, trial.round);
    if (!loaded.ok) return null;
    const { record, notes } = loaded.value;
    const reveal = notes.reveals.get(trial.accused);
    const said = reveal?.entries.find((entry) => entry.seat === trial.seat);
    if (reveal === undefined || said === undefined) return null;
    const beta = betaBehind(record, await setOf(view, record.setVersion), trial.accused, reveal);
    if (beta === null) return true;
    const draw = drawOf(record, notes, beta, trial.seat);
    if (draw === null) return null;
    if (trial.kind === 'digest') return falseDigest(record, notes, trial.accused, beta, said);
    return plainFault(record, notes, draw, said) === trial.kind;
  }

  async function judge(number: number, view: ViewCall): Promise<void> {
    const trial = await readTrial(view, number);
    const head = chain.head().header.number;
    if (trial.state !== 'open') {
      trials.delete(number);
      return;
    }
    if (head >= trial.deadline) {
      if (trial.accuser === address)
        sender.send(`close-trial-${number}`, closeTrialCall(number), CALL_GAS.judgeAuthority);
      else trials.delete(number);
      return;
    }
    const known = trials.get(number);
    if (known === undefined || known.judged || trial.accused === address) return;
    const set = await setOf(view, trial.setVersion);
    const index = set.members.findIndex((member) => member.address === address);
    const spoken = index < 0 || trial.guilty.includes(index) || trial.innocent.includes(index);
    known.judged = true;
    if (spoken) return;
    const guilty = await guilt(trial, view);
    log.info('judged an authority', {
      trial: number,
      accused: trial.accused,
      kind: trial.kind,
      guilty: String(guilty),
    });
    // What cannot be told is not said: silence is not a finding.
    if (guilty !== null) sender.send(`trial-${number}`, judgeAuthorityCall(number, guilty), CALL_GAS.judgeAuthority);
  }

  /** Trials that were open before this node started. */
  async function scan(view: ViewCall): Promise<void> {
    scanned = true;
    const count = await readTrialCount(view);
    for (let number = Math.max(0, count - OPEN_TRIALS); number < count; number++) {
      if ((await readTrial(view, number)).state === 'open' && !trials.has(number))
        trials.set(number, { judged: false });
    }
  }

  return {
    onEvents(events) {
      notebook.note(events);
      for (const event of events) {
        if (event.kind === 'accused') {
          const { trial, round, seat, accusation, accused } = event;
          charged.add(keyOf({ round, authority: accused, seat, kind: accusation }));
          if (trials.size < OPEN_TRIALS) trials.set(trial, { judged: event.accuser === address });
        }
        if (event.kind === 'trialClosed') trials.delete(event.trial);
        if (event.kind === 'rosterFrozen' && charged.size > OPEN_TRIALS) charged.clear();
      }
    },
    async work(record, view) {
      if (!scanned) await scan(view);
      if (record.revealedBlock > 0 && !checked.has(record.round)) {
        checked.add(record.round);
        for (const old of checked) if (old < record.round - 1) checked.delete(old);
        await checkRound(record, notebook.of(record.round), view);
      }
      for (const number of [...trials.keys()]) await judge(number, view);
      const head = chain.head().header.number;
      const bond = definition.parameters.accusationBondGwei * ONE_GWEI;
      for (const [key, { accusation, notBefore }] of [...accusations]) {
        if (head < notBefore) continue;
        accusations.delete(key);
        if (!charged.has(key)) sender.send(key, accuseCall(accusation, bond), CALL_GAS.accuse);
      }
      const next = rechecks.shift();
      if (next !== undefined) await recheck(next, view);
    },
  };
}
