// Owns what the fuzz of the learning protocol's bytes feeds: every wire message, blob, file and log decoder that test/engine's
// fuzz does not have, each with valid samples and with what its answer must hold to.

import type { Stream } from '@libp2p/interface';
import { type Hex, concat, fromHex, toHex, u256be, u32be, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { fault } from '../../base/fault.ts';
import { formatGenesis, parseGenesis } from '../../chain/genesis.ts';
import { learningRoundsAbi } from '../../chain/system/abi.ts';
import { LEARNING_ROUNDS_ADDRESS } from '../../chain/system/api.ts';
import { parseChallengeParameters } from '../../chain/system/challenge-parameters.ts';
import { decodeSystemLog } from '../../chain/system/events.ts';
import { parseLearningParameters } from '../../chain/system/parameters.ts';
import { decodeEntries, encodeEntries } from '../../chain/system/verdicts.ts';
import { decodeTransaction } from '../../chain/transaction.ts';
import { certificateOf, decodeCertificate, encodeCertificate } from '../../consensus/certificate.ts';
import { decodeMessage, encodeMessage } from '../../consensus/codec.ts';
import { decodeEvidence, encodeEvidence, voteEvidence } from '../../consensus/evidence.ts';
import { NET_LIMITS } from '../../net/limits.ts';
import { decodeStatus, encodeStatus } from '../../net/status.ts';
import { FRAME, decodeFault, encodeFault, readFrame } from '../../net/wire.ts';
import { type CommitRecord, decodeCommit, encodeCommit } from '../../trainer/commit.ts';
import { manifestText, openDataset, parseManifest } from '../../trainer/dataset.ts';
import { fetchResidual } from '../../trainer/residual.ts';
import { encodeSparse } from '../../trainer/sparse-update.ts';
import { decodeUpdate, eachMove } from '../../trainer/update.ts';
import { prng } from '../../base/prng.ts';
import { sha256 } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { encodeAbiParameters, toEventSelector } from 'viem/utils';
import { authorities, hash, signedProposal, signedVote, votes } from '../consensus/authorities.ts';
import { alice, signedRaw, testGenesis } from '../chain/support.ts';
import { trainerAt } from '../chain/system-life.ts';
import { hashOf, testParameters } from '../chain/system-world.ts';
import type { Answer } from '../engine/fuzz.ts';
import { dataset } from '../trainer/round-fixture.ts';
import { parametersOf } from '../trainer/dispute-fixture.ts';

/** `decode` throws nothing but what shows a defect: a value that is not what its bytes say. */
export type WireTarget = Readonly<{
  name: string;
  samples: readonly Uint8Array[];
  decode(bytes: Uint8Array): Answer | Promise<Answer>;
}>;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const yes: Answer = { ok: true };

/** Accepted bytes must be the one form of what they say. */
function canonical<T>(
  name: string,
  samples: readonly Uint8Array[],
  decode: (bytes: Uint8Array) => Answer & Readonly<{ value?: T }>,
  encode: (value: T) => Uint8Array,
): WireTarget {
  return {
    name,
    samples,
    decode(bytes) {
      const read = decode(bytes);
      if (read.ok && Buffer.compare(encode(read.value as T), bytes) !== 0) throw new Error('not canonical');
      return read;
    },
  };
}

/** Text as a decoder is given it: bytes that are no UTF-8 have become others. */
function canonicalText<T>(
  name: string,
  sample: string,
  decode: (text: string) => Answer & Readonly<{ value?: T }>,
  encode: (value: T) => string,
): WireTarget {
  const { decode: judge } = canonical(
    name,
    [],
    (bytes) => decode(text(bytes)),
    (value: T) => utf8(encode(value)),
  );
  return { name, samples: [utf8(sample)], decode: (bytes) => judge(utf8(text(bytes))) };
}

const PARAMETERS = 5_000;

function sparseTarget(): WireTarget {
  const random = prng('sparse sample');
  const wanted = Float32Array.from({ length: PARAMETERS }, () => (random.u32() / 2 ** 31 - 1) * 0.01);
  const samples = [encodeSparse(wanted), encodeSparse(wanted.map((x, i) => (i % 900 === 0 ? x : 0)))];
  const decode = (bytes: Uint8Array): Answer => {
    const read = decodeUpdate(bytes, PARAMETERS);
    if (!read.ok) return read;
    for (const [chunk] of read.value.shifts.entries()) {
      eachMove(read.value, chunk, (at, value) => {
        if (at >= PARAMETERS || !Number.isInteger(value)) throw new Error(`a move to ${at} by ${value}`);
      });
    }
    return read;
  };
  return { name: 'update of codec 2', samples, decode };
}

/** What a peer serves as a residual: bytes of the committed root, or nobody's fault. */
function residualTarget(): WireTarget {
  const bytes = prng('residual').bytes(4 * PARAMETERS);
  const root = stateRoot(bytes);
  return {
    name: 'residual',
    samples: [bytes],
    async decode(served) {
      const read = await fetchResidual({ root, fetch: () => Promise.resolve(served) }, 4 * PARAMETERS);
      return read === 'unserved' ? fault('residual', 'not of its root') : yes;
    },
  };
}

function commitTarget(): WireTarget {
  const h = (name: string): Uint8Array => fromHex(hashOf(name));
  const record: CommitRecord = {
    round: 3,
    capacity: 2,
    baseRoot: h('base'),
    traceRoot: h('trace'),
    gradChainHead: h('chain'),
    finalStateRoot: h('final'),
    updateHash: h('update'),
    updateSize: 5_000,
    residualRoot: h('residual'),
    kernelSpec: h('kernel'),
    programHash: h('program'),
    leaves: prng('leaves').bytes(3 * 68),
  };
  return canonical('commit record', [encodeCommit(record)], decodeCommit, encodeCommit);
}

function verdicts(): Hex {
  const entries = [0, 1, 5].map((seat) => {
    return { seat, verdict: seat === 1 ? 'invalid' : 'valid', step: seat === 1 ? 2 : 0, digest: hashOf('d') } as const;
  });
  return encodeEntries(entries);
}

function entriesTarget(): WireTarget {
  const sample = fromHex(verdicts());
  return { name: 'verdict entries', samples: [sample, sample.subarray(0, 38)], decode: decodeEntries };
}

/** Token files whose hash the manifest does not name. */
function datasetTarget(): WireTarget {
  const bytes = prng('tokens').bytes(4_000);
  const manifest = {
    ...dataset.manifest,
    file: { blobId: null, sha256: toHex(sha256(bytes)), size: bytes.length },
  };
  return { name: 'token file', samples: [bytes], decode: (file) => openDataset(manifest, file) };
}

function jsonTarget(name: string, value: unknown, parse: (json: unknown) => Answer): WireTarget {
  const sample = utf8(JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner)));
  const decode = (bytes: Uint8Array): Answer => {
    let json: unknown;
    try {
      json = JSON.parse(text(bytes));
    } catch {
      return fault('json', 'not JSON');
    }
    return parse(json);
  };
  return { name, samples: [sample], decode };
}

function consensusTargets(): readonly WireTarget[] {
  const four = authorities(4);
  const block = new Uint8Array(300).fill(9);
  const at = { height: 7, round: 3 };
  const vote = signedVote(four, 1, { type: 'prevote', ...at, value: hash('a') });
  const other = signedVote(four, 1, { type: 'prevote', ...at, value: hash('b') });
  const polka = certificateOf(votes(four, 3, 'prevote', 7, 1, hash('a')), four.set);
  const proposal = signedProposal(four, 0, { ...at, value: hash('a'), validRound: 1 });
  const messages = [
    encodeMessage({ kind: 'vote', vote }),
    encodeMessage({ kind: 'proposal', proposal, polka, block }),
    encodeMessage({ kind: 'polka', certificate: polka }),
  ];
  const evidence = encodeEvidence(voteEvidence(vote, other));
  return [
    {
      name: 'consensus message',
      samples: messages,
      decode(bytes) {
        const read = decodeMessage(bytes);
        // The first two bytes tell copies apart and are free.
        if (read.ok && Buffer.compare(encodeMessage(read.value).subarray(2), bytes.subarray(2)) !== 0)
          throw new Error('not canonical');
        return read;
      },
    },
    canonical('certificate', [encodeCertificate(polka)], decodeCertificate, encodeCertificate),
    canonical('evidence', [evidence], decodeEvidence, encodeEvidence),
  ];
}

/** A stream that has these bytes and ends. */
function streamOf(bytes: Uint8Array): Stream {
  const stream = Object.assign(new EventTarget(), { remoteWriteStatus: 'writable', readBufferLength: 0 });
  queueMicrotask(() => {
    const data = { subarray: () => bytes, byteLength: bytes.length };
    stream.dispatchEvent(Object.assign(new Event('message'), { data }));
    stream.dispatchEvent(new Event('remoteCloseWrite'));
  });
  return stream as unknown as Stream;
}

function netTargets(): readonly WireTarget[] {
  const status = encodeStatus({
    chainId: 504_101,
    genesisHash: hashOf('genesis'),
    status: { height: 9, headHash: hashOf('head'), role: 'trainer', apiUrl: 'http://127.0.0.1:8080' },
    clockMs: 1_700_000_000_000,
    listen: ['/ip4/127.0.0.1/tcp/8000/ws'],
    binding: { address: `0x${'ab'.repeat(20)}`, signature: new Uint8Array(65).fill(5) },
  });
  const frames = [FRAME.request, FRAME.answer, FRAME.fault].map((kind) =>
    concat(Uint8Array.of(kind), u32be(40), new Uint8Array(40).fill(kind)),
  );
  return [
    { name: 'status', samples: [status], decode: (bytes) => decodeStatus(bytes, NET_LIMITS) },
    { name: 'request frame', samples: frames, decode: (bytes) => readFrame(streamOf(bytes), 10_000) },
    { name: 'refusal of a peer', samples: [encodeFault(fault('busy', 'later'))], decode: decodeFault },
  ];
}

function chainTargets(): readonly WireTarget[] {
  const genesis = testGenesis();
  const transaction = signedRaw(alice, 0, { value: 1n, data: new Uint8Array(40).fill(7) });
  return [
    {
      name: 'transaction',
      samples: [transaction],
      decode: (bytes) => decodeTransaction(bytes),
    },
    {
      name: 'genesis file',
      samples: [utf8(formatGenesis(genesis))],
      decode: (bytes) => parseGenesis(text(bytes)),
    },
  ];
}

/** Logs of the rounds' contract with any data: an event of the right types or none. */
function logTarget(): WireTarget {
  const event = present(
    learningRoundsAbi.find((item) => item.type === 'event' && item.name === 'VerdictsRevealed'),
    'event',
  );
  if (event.type !== 'event') throw new Error('no event');
  const topics = [toEventSelector(event), toHex(u256be(3n)), toHex(u256be(BigInt(trainerAt(1))))];
  const plain = event.inputs.filter((input) => !('indexed' in input && input.indexed));
  const sample = encodeAbiParameters(plain, [verdicts(), toHex(new Uint8Array(81))] as never);
  const decode = (bytes: Uint8Array): Answer => {
    const log = { address: LEARNING_ROUNDS_ADDRESS, topics, data: toHex(bytes) };
    return decodeSystemLog(log as never) === null ? fault('log', 'no event') : yes;
  };
  return { name: 'log of a round', samples: [fromHex(sample)], decode };
}

export function wireTargets(): readonly WireTarget[] {
  return [
    sparseTarget(),
    residualTarget(),
    commitTarget(),
    entriesTarget(),
    canonicalText('dataset manifest', manifestText(dataset.manifest), parseManifest, manifestText),
    datasetTarget(),
    jsonTarget('learning parameters', testParameters, parseLearningParameters),
    jsonTarget('challenge parameters', parametersOf(), parseChallengeParameters),
    ...consensusTargets(),
    ...netTargets(),
    ...chainTargets(),
    logTarget(),
  ];
}
