// Owns an authority's conduct in learning rounds: draws and audits what is committed, hides and opens its verdicts, judges what
// is disputed, attests the next model. Everything it says is a transaction; nothing it does delays a block.

import { join } from 'node:path';
import { type Hex, fromHex, toHex } from '../base/bytes.ts';
import { vrfProve } from '../base/vrf.ts';
import type { Chain } from '../chain/api.ts';
import type { RoundRecord, VerdictEntry, ViewCall } from '../chain/system/api.ts';
import {
  CALL_GAS,
  attestCall,
  commitVerdictsCall,
  judgeCall,
  revealGas,
  revealVerdictsCall,
} from '../chain/system/calls.ts';
import type { SystemEvent } from '../chain/system/events.ts';
import { NO_DIGEST, decodeEntries, encodeEntries, verdictsHash } from '../chain/system/verdicts.ts';
import { readAuthoritySet } from '../chain/system/views.ts';
import { type AuditVerdict, refusalDigest } from '../trainer/audit.ts';
import { encodeCheckpoint } from '../trainer/checkpoint.ts';
import { auditAlpha, auditSalt, drawClaim } from '../trainer/sample.ts';
import { type FalseClaimNote, createAuditExecutor } from './audit-executor.ts';
import { createAuthorityWatch } from './authority-watch.ts';
import type { BlobExchange } from './blob-exchange.ts';
import type { EngineThread } from './engine-thread.ts';
import { forgetFinalStates } from './final-states.ts';
import { AUDIT_RETRY_BLOCKS, AUDIT_TRIES, SEAL_MARGIN_BLOCKS } from './limits.ts';
import type { Logger } from './logger.ts';
import type { ModelKeeper } from './model-keeper.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import { createRoundNotebook } from './round-notes.ts';
import type { StateFetch } from './state-exchange.ts';
import { systemView } from './system-view.ts';
import { openVerdictFile } from './verdict-file.ts';

export type AuditCounts = Readonly<{ valid: number; invalid: number; unavailable: number; passed: number }>;

export type AuditorAgent = Readonly<{
  onHead(record: RoundRecord | null, view: ViewCall, events: readonly SystemEvent[]): Promise<void>;
  counts(): AuditCounts;
  stop(): void;
}>;

export type AuditorAgentOptions = Readonly<{
  chain: Chain;
  definition: NetworkDefinition;
  address: Hex;
  secretKey: Uint8Array;
  dataDir: string;
  thread: EngineThread;
  keeper: ModelKeeper;
  sender: ProtocolSender;
  blobs: BlobExchange;
  fetchStates: StateFetch;
  /** Stores an accepted model's file and gives its reference. */
  storeCheckpoint: (bytes: Uint8Array) => Promise<Readonly<{ blobId: Hex; sha256: Hex; size: number }>>;
  /** Told of a step that an execution here gave other bits for. */
  onFalse: FalseClaimNote;
  log: Logger;
  /** Changes what is said; only for trying attacks in tests. */
  tamperVerdicts?: (entries: readonly VerdictEntry[], round: number) => readonly VerdictEntry[];
  /** The same for judgements. */
  tamperJudgement?: (invalid: boolean) => boolean;
}>;

/** The audit of one claim of the running round. */
type Audit = { notBefore: number; tries: number; verdict: AuditVerdict | null };

export function createAuditorAgent(options: AuditorAgentOptions): AuditorAgent {
  const { chain, definition, address, secretKey, thread, keeper, sender, log } = options;
  const { parameters } = definition;
  const chainId = Number(chain.chainId);
  const abort = new AbortController();
  const notebook = createRoundNotebook(chain);
  const files = openVerdictFile(join(options.dataDir, 'verdicts'), chainId, secretKey);
  const execute = createAuditExecutor({
    ...options,
    rules: definition.rules,
    view: () => systemView(chain),
    signal: abort.signal,
  });
  const audits = new Map<Hex, Audit>();
  const judging = new Set<string>();
  const counts = { valid: 0, invalid: 0, unavailable: 0, passed: 0 };
  const indexes = new Map<number, number>();
  let draw: Readonly<{ round: number; beta: Uint8Array; proof: Uint8Array }> | null = null;
  let latest: RoundRecord | null = null;
  let working = false;

  /** This authority's lots of a round: nobody can know them before the reveal, and everybody can check them after. */
  function drawFor(record: RoundRecord): Readonly<{ beta: Uint8Array; proof: Uint8Array }> {
    if (draw?.round !== record.round) {
      const alpha = auditAlpha(chainId, record.round, fromHex(record.seed));
      draw = { round: record.round, ...vrfProve(secretKey, alpha) };
    }
    return draw;
  }

  const watch = createAuthorityWatch({
    ...options,
    betaOf: (record) => drawFor(record).beta,
    notebook,
    execute,
  });

  /** Index in the set that audits the round; -1 for a node that is in none. */
  async function indexIn(record: RoundRecord): Promise<number> {
    const known = indexes.get(record.setVersion);
    if (known !== undefined) return known;
    const { members } = await readAuthoritySet(systemView(chain), record.setVersion);
    const index = members.findIndex((member) => member.address === address);
    indexes.set(record.setVersion, index);
    return index;
  }

  async function auditClaims(record: RoundRecord): Promise<void> {
    const { beta } = drawFor(record);
    for (const { trainer, status, auditRateBps } of record.roster) {
      const head = chain.head().header.number;
      const audit = audits.get(trainer) ?? { notBefore: 0, tries: 0, verdict: null };
      const commitment = notebook.of(record.round).commitments.get(trainer);
      if (status !== 'committed' || commitment === undefined || audit.verdict !== null || audit.notBefore > head)
        continue;
      if (latest?.round !== record.round || abort.signal.aborted) return;
      const claim = { trainer: fromHex(trainer), traceRoot: fromHex(commitment.traceRoot), auditRateBps };
      const { drawn, sample } = drawClaim(beta, claim, parameters);
      const task = drawn ? ({ kind: 'audit', sample } as const) : ({ kind: 'pass' } as const);
      const verdict = await execute(record, commitment, trainer, auditSalt(beta, fromHex(address)), task);
      if (abort.signal.aborted || latest?.round !== record.round) return;
      audits.set(trainer, audit);
      audit.tries++;
      const reason = 'reason' in verdict ? verdict.reason : null;
      if (verdict.verdict === 'unavailable' && audit.tries < AUDIT_TRIES) {
        audit.notBefore = head + AUDIT_RETRY_BLOCKS;
        log.debug('audit waits for data', { round: record.round, trainer, reason });
        continue;
      }
      audit.verdict = verdict;
      counts[verdict.verdict]++;
      log.info('audited', { round: record.round, trainer, verdict: verdict.verdict, steps: sample.length, reason });
    }
  }

  function entryOf(seat: number, verdict: AuditVerdict | null): VerdictEntry {
    const found: AuditVerdict = verdict ?? { verdict: 'unavailable', reason: 'not audited in time' };
    if (found.verdict === 'passed') return { seat, verdict: 'passed', step: 0, digest: NO_DIGEST };
    const step = found.verdict === 'invalid' ? found.step : 0;
    const digest = found.verdict === 'valid' ? found.digest : refusalDigest(found);
    return { seat, verdict: found.verdict, step, digest: toHex(digest) };
  }

  /** Hides the verdicts once each claim has one, or with what there is shortly before the deadline. */
  function seal(record: RoundRecord): void {
    const key = `seal-${record.round}`;
    if (sender.knows(key)) return;
    const committed = record.roster.flatMap(({ trainer, status }, seat) =>
      status === 'committed' ? [{ trainer, seat }] : [],
    );
    const finished = committed.every(({ trainer }) => (audits.get(trainer)?.verdict ?? null) !== null);
    const late = record.deadline - chain.head().header.number <= SEAL_MARGIN_BLOCKS;
    let entries = files.load(record.round);
    if (entries === null) {
      if (!finished && !late) return;
      const honest = committed.map(({ trainer, seat }) => entryOf(seat, audits.get(trainer)?.verdict ?? null));
      entries = encodeEntries(options.tamperVerdicts?.(honest, record.round) ?? honest);
      // On disk before it is said: what cannot be opened later counts for nothing.
      files.save(record.round, entries);
    }
    const hash = verdictsHash(record.round, address, entries, files.nonce(record.round));
    sender.send(key, commitVerdictsCall(record.round, hash), CALL_GAS.commitVerdicts);
  }

  function open(record: RoundRecord): void {
    const entries = files.load(record.round);
    const key = `reveal-${record.round}`;
    if (entries === null || sender.knows(key)) return;
    const proof = toHex(drawFor(record).proof);
    const call = revealVerdictsCall(record.round, entries, files.nonce(record.round), proof);
    sender.send(key, call, revealGas(record.committedCount));
  }

  async function speak(record: RoundRecord): Promise<void> {
    const index = await indexIn(record);
    if (index < 0) return;
    if (record.phase === 'auditing' && !record.sealed.includes(index)) seal(record);
    if (record.phase === 'revealing' && record.sealed.includes(index) && !record.revealed.includes(index)) open(record);
  }

  /** Steps this authority accused itself: its reveal counts as its judgement. */
  function accusedHere(record: RoundRecord, trainer: Hex, step: number): boolean {
    const entries = decodeEntries(fromHex(files.load(record.round) ?? '0x'));
    const seat = record.roster.findIndex((entry) => entry.trainer === trainer);
    return entries.ok && entries.value.some((e) => e.seat === seat && e.verdict === 'invalid' && e.step === step);
  }

  async function judgeDisputes(record: RoundRecord): Promise<void> {
    const { disputes, commitments } = notebook.of(record.round);
    for (const { trainer, step } of [...disputes]) {
      const key = `judge-${record.round}-${trainer}-${step}`;
      const commitment = commitments.get(trainer);
      const open = record.roster.some((entry) => entry.trainer === trainer && entry.status === 'disputed');
      if (!open || commitment === undefined || judging.has(key) || sender.knows(key)) continue;
      judging.add(key);
      if (accusedHere(record, trainer, step)) continue;
      const salt = auditSalt(drawFor(record).beta, fromHex(address));
      const found = await execute(record, commitment, trainer, salt, { kind: 'judge', step });
      if (abort.signal.aborted) return;
      log.info('judged', { round: record.round, trainer, step, verdict: found.verdict });
      // A judgement that cannot be made is not made: silence is not a finding.
      if (found.verdict === 'unavailable') continue;
      const says = options.tamperJudgement ?? ((invalid: boolean) => invalid);
      const call = judgeCall({ round: record.round, trainer, step, invalid: says(found.verdict === 'invalid') });
      sender.send(key, call, CALL_GAS.judge);
    }
  }

  async function attest(record: RoundRecord): Promise<void> {
    const key = `attest-${record.round}-${record.attempt}`;
    if (record.attested.includes(await indexIn(record)) || sender.knows(key)) return;
    const next = await keeper.next(record, systemView(chain));
    if (!next.ok) {
      log.warn('next model not computed', { round: record.round, reason: next.message });
      return;
    }
    const { root, params } = next.value;
    const { manifest, training } = definition;
    const heldOutMicroNats = await thread.measure(params);
    const file = encodeCheckpoint(training.model, params, {
      chainId: chain.chainId,
      round: record.round,
      version: record.baseVersion + 1,
      baseRoot: record.baseRoot,
      datasetHash: parameters.datasetHash,
      tokenizerHash: manifest.tokenizer.sha256,
      kernelSpec: parameters.kernelSpec,
      programHash: parameters.programHash,
    });
    const { blobId, sha256, size } = await options.storeCheckpoint(file);
    const checkpoint = { blobId, sha256, size: BigInt(size) };
    const attestation = { round: record.round, modelRoot: root, heldOutMicroNats, checkpoint };
    sender.send(key, attestCall(attestation), CALL_GAS.attest);
    log.info('attested', { round: record.round, root, heldOutMicroNats });
  }

  async function work(record: RoundRecord): Promise<void> {
    if ((await indexIn(record)) >= 0) {
      if (record.phase === 'training' || record.phase === 'auditing') await auditClaims(record);
      if (latest?.round === record.round) await speak(latest);
      if (record.phase === 'judging') await judgeDisputes(record);
      if (record.phase === 'attesting') await attest(record);
    }
    if (!abort.signal.aborted) await watch.work(record, systemView(chain));
  }

  return {
    counts: () => counts,
    stop: () => abort.abort(),
    async onHead(record, _view, events) {
      for (const event of events) {
        if (event.kind === 'rosterFrozen') {
          audits.clear();
          forgetFinalStates(options.dataDir, event.round);
        }
        if (event.kind === 'judged' && event.authority === address)
          judging.add(`judge-${event.round}-${event.trainer}-${event.step}`);
      }
      watch.onEvents(events);
      if (record === null || abort.signal.aborted) return;
      latest = record;
      await speak(record);
      if (working) return;
      working = true;
      // Not awaited: blocks go on while audits run.
      void work(record)
        .catch((error: unknown) => {
          if (!abort.signal.aborted) log.error('audit work failed', { round: record.round, reason: String(error) });
        })
        .finally(() => {
          working = false;
        });
    },
  };
}
