// Owns an authority's conduct in learning rounds: audits what is committed, judges what is disputed, attests the next model.
// Everything it says is a transaction; nothing it does delays a block.

import { type Hex, concat, fromHex, toHex, u64be } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { taggedHash } from '../base/hash.ts';
import { vrfProve } from '../base/vrf.ts';
import type { Chain } from '../chain/api.ts';
import type { Commitment, RoundRecord, ViewCall } from '../chain/system/api.ts';
import { CALL_GAS, attestCall, judgeCall, verdictCall } from '../chain/system/calls.ts';
import type { SystemEvent } from '../chain/system/events.ts';
import { type AuditVerdict, refusalDigest } from '../trainer/audit.ts';
import { encodeCheckpoint } from '../trainer/checkpoint.ts';
import { drawSample } from '../trainer/sample.ts';
import type { BlobExchange } from './blob-exchange.ts';
import type { EngineThread } from './engine-thread.ts';
import { AUDIT_RETRY_BLOCKS, AUDIT_TRIES, OPEN_AUDITS } from './limits.ts';
import type { Logger } from './logger.ts';
import type { ModelKeeper } from './model-keeper.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import { commitRecordOf, roundSpec, slotOf } from './round-words.ts';
import { systemView } from './system-view.ts';

type Job = Readonly<{ round: number; trainer: Hex; accusedStep: number | null }>;

export type AuditCounts = Readonly<{ valid: number; invalid: number; unavailable: number }>;

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
  thread: EngineThread;
  keeper: ModelKeeper;
  sender: ProtocolSender;
  blobs: BlobExchange;
  fetchState: (trainer: Hex, round: number, step: number) => Promise<Uint8Array | null>;
  /** Stores an accepted model's file and gives its reference. */
  storeCheckpoint: (bytes: Uint8Array) => Promise<Readonly<{ blobId: Hex; sha256: Hex; size: number }>>;
  log: Logger;
}>;

const keyOf = ({ round, trainer, accusedStep }: Job): string =>
  accusedStep === null ? `verdict-${round}-${trainer}` : `judge-${round}-${trainer}-${accusedStep}`;

export function createAuditorAgent(options: AuditorAgentOptions): AuditorAgent {
  const { chain, definition, address, thread, keeper, sender, log } = options;
  const abort = new AbortController();
  /** Commitments seen in the running round, by trainer. */
  const commitments = new Map<Hex, Commitment>();
  const waiting = new Map<string, { job: Job; notBefore: number; tries: number }>();
  const counts = { valid: 0, invalid: 0, unavailable: 0 };
  let working = false;
  let attesting: number | null = null;

  function note(event: SystemEvent): void {
    if ('authority' in event && event.authority === address) {
      if (event.kind === 'verdictGiven') sender.markDone(keyOf({ ...event, accusedStep: null }));
      if (event.kind === 'judged') sender.markDone(keyOf({ ...event, accusedStep: event.step }));
      if (event.kind === 'attested') sender.markDone(`attest-${event.round}`);
    }
    if (event.kind === 'committed') {
      commitments.set(event.trainer, event.commitment);
      add({ round: event.round, trainer: event.trainer, accusedStep: null });
    } else if (event.kind === 'disputeOpened' && event.accuser !== address) {
      add({ round: event.round, trainer: event.trainer, accusedStep: event.step });
    }
  }

  function add(job: Job): void {
    const key = keyOf(job);
    if (sender.knows(key) || waiting.has(key)) return;
    if (waiting.size >= OPEN_AUDITS) {
      log.warn('audit dropped: too many waiting', { key, limit: OPEN_AUDITS });
      return;
    }
    waiting.set(key, { job, notBefore: 0, tries: 0 });
  }

  /** Steps of this authority's own draw: nobody can know them before, and nobody else could have drawn them. */
  function sampleFor(record: RoundRecord, commitment: Commitment, trainer: Hex): number[] {
    const { steps, samplesPerAudit } = definition.parameters;
    const alpha = taggedHash(
      'audit-sample',
      u64be(chain.chainId),
      u64be(record.round),
      fromHex(trainer),
      fromHex(commitment.traceRoot),
      fromHex(record.seed),
    );
    return drawSample(vrfProve(options.secretKey, alpha).beta, steps, samplesPerAudit);
  }

  async function execute(
    record: RoundRecord,
    job: Job,
    commitment: Commitment,
    base: Uint8Array,
  ): Promise<AuditVerdict> {
    const slot = slotOf(record, job.trainer);
    const capacity = present(record.roster[slot], 'slot of an audited trainer').capacity;
    const { updateHash, updateSize } = commitment;
    return thread.audit(
      {
        spec: roundSpec(record),
        slot,
        base,
        commit: commitRecordOf(commitment, capacity),
        salt: concat(fromHex(address), u64be(record.round)),
        task:
          job.accusedStep === null
            ? { kind: 'audit', sample: sampleFor(record, commitment, job.trainer) }
            : { kind: 'judge', step: job.accusedStep },
      },
      async (question) => {
        if (question.question === 'state') return options.fetchState(job.trainer, record.round, question.step);
        const bytes = await options.blobs.fetch(updateHash, Number(updateSize));
        return bytes.ok ? bytes.value : null;
      },
      abort.signal,
    );
  }

  function say(job: Job, verdict: AuditVerdict): void {
    const { round, trainer, accusedStep } = job;
    counts[verdict.verdict]++;
    const reason = verdict.verdict === 'valid' ? null : verdict.reason;
    log.info(accusedStep === null ? 'audited' : 'judged', {
      round,
      trainer,
      verdict: verdict.verdict,
      reason,
      step: accusedStep,
    });
    if (accusedStep !== null) {
      // A judgement that cannot be made is not made: silence is not a finding.
      if (verdict.verdict === 'unavailable') return;
      sender.send(
        keyOf(job),
        judgeCall({ round, trainer, step: accusedStep, invalid: verdict.verdict === 'invalid' }),
        CALL_GAS.judge,
      );
      return;
    }
    const digest = verdict.verdict === 'valid' ? verdict.digest : refusalDigest(verdict);
    const step = verdict.verdict === 'invalid' ? verdict.step : 0;
    sender.send(
      keyOf(job),
      verdictCall({ round, trainer, verdict: verdict.verdict, step, digest: toHex(digest) }),
      CALL_GAS.verdict,
    );
  }

  async function work(record: RoundRecord): Promise<void> {
    const head = chain.head().header.number;
    for (const [key, entry] of [...waiting]) {
      if (abort.signal.aborted) return;
      const { job } = entry;
      const commitment = commitments.get(job.trainer);
      if (job.round !== record.round || commitment === undefined || sender.knows(key)) {
        if (job.round < record.round || sender.knows(key)) waiting.delete(key);
        continue;
      }
      const base = keeper.params(record.baseRoot);
      if (entry.notBefore > head || base === null) continue;
      const verdict = await execute(record, job, commitment, base);
      if (abort.signal.aborted) return;
      entry.tries++;
      if (verdict.verdict === 'unavailable' && entry.tries < AUDIT_TRIES) {
        entry.notBefore = head + AUDIT_RETRY_BLOCKS;
        log.debug('audit waits for data', { key, reason: verdict.reason });
        continue;
      }
      waiting.delete(key);
      say(job, verdict);
    }
  }

  async function attest(record: RoundRecord): Promise<void> {
    const next = await keeper.next(record, systemView(chain));
    if (!next.ok) {
      log.warn('next model not computed', { round: record.round, reason: next.message });
      return;
    }
    const { root, params } = next.value;
    const { parameters, manifest, training } = definition;
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
    sender.send(
      `attest-${record.round}`,
      attestCall({ round: record.round, modelRoot: root, heldOutMicroNats, checkpoint }),
      CALL_GAS.attest,
    );
    log.info('attested', { round: record.round, root, heldOutMicroNats });
  }

  return {
    counts: () => counts,
    stop: () => abort.abort(),
    async onHead(record, _view, events) {
      for (const event of events) {
        if (event.kind === 'rosterFrozen') commitments.clear();
        note(event);
      }
      if (record === null || working || abort.signal.aborted) return;
      working = true;
      // Not awaited: blocks go on while audits run.
      void (async () => {
        try {
          if (record.phase === 'training' || record.phase === 'auditing') await work(record);
          if (record.phase === 'attesting' && attesting !== record.round && !sender.knows(`attest-${record.round}`)) {
            attesting = record.round;
            await attest(record);
            if (!sender.knows(`attest-${record.round}`)) attesting = null;
          }
        } catch (error) {
          if (!abort.signal.aborted) log.error('audit work failed', { round: record.round, reason: String(error) });
          attesting = null;
        } finally {
          working = false;
        }
      })();
    },
  };
}
