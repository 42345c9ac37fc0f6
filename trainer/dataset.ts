// Owns token files and their manifests: building, canonical form, opening with every root checked. Texts are corpus.ts, the
// order in which sequences are used is data-order.ts.

import { type Hex, isHex, toHex, utf8 } from '../base/bytes.ts';
import { type Json, canonicalJson } from '../base/canonical-json.ts';
import { check, present } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import { leafHash, merkleRoot } from '../base/merkle.ts';
import type { Corpus, Document } from './corpus.ts';
import {
  MAX_DATASET_TOKENS,
  MAX_MANIFEST_CHARACTERS,
  MAX_MANIFEST_NOTES,
  MAX_NOTE_CHARACTERS,
  MAX_SEQUENCE_LENGTH,
  MAX_TOKENIZER_CHARACTERS,
  MAX_VOCAB,
} from './limits.ts';
import type { Tokenizer } from './tokenizer.ts';

/** A file by content. `blobId` is its address in blob storage, null until the caller stored it. */
type BlobReference = Readonly<{ blobId: Hex | null; sha256: Hex; size: number }>;

/** One half of a token file: `tokens` ids cut into `sequences`, and the Merkle root over them. */
type DatasetPart = Readonly<{ tokens: number; sequences: number; root: Hex }>;

export type DatasetManifest = Readonly<{
  version: 1;
  name: string;
  sequenceLength: number;
  tokenizer: BlobReference & Readonly<{ vocab: number }>;
  /** The token file: training tokens, then held-out tokens, each a 16-bit little-endian id. */
  file: BlobReference;
  train: DatasetPart;
  heldOut: DatasetPart;
  notes: readonly string[];
}>;

export type Dataset = Readonly<{
  manifest: DatasetManifest;
  /** Root of the training part as bytes: the key of the data order. */
  root: Uint8Array;
  sequences: number;
  heldOutSequences: number;
  /** sequenceLength + 1 ids: inputs are all but the last, targets all but the first. */
  sequence(index: number): Uint16Array;
  heldOutSequence(index: number): Uint16Array;
  /** Merkle leaf hash of a training sequence: what a data root is made of. */
  sequenceLeaf(index: number): Uint8Array;
}>;

/** Tokens a corpus with a tokenizer: every document is followed by <|endoftext|> (docs/protocol/learning-round.md, D-3). */
export function buildDataset(
  corpus: Corpus,
  tokenizer: Tokenizer,
  sequenceLength: number,
): Readonly<{ manifest: DatasetManifest; bytes: Uint8Array }> {
  check(isCount(sequenceLength, 2, MAX_SEQUENCE_LENGTH), 'buildDataset: sequence length out of range');
  const train = tokenize(corpus.train, tokenizer);
  const heldOut = tokenize(corpus.heldOut, tokenizer);
  const bytes = Buffer.concat([train, heldOut]);
  const manifest: DatasetManifest = {
    version: 1,
    name: corpus.name,
    sequenceLength,
    tokenizer: { ...referenceOf(utf8(tokenizer.text)), vocab: tokenizer.vocab },
    file: referenceOf(bytes),
    train: partOf(train, sequenceLength),
    heldOut: partOf(heldOut, sequenceLength),
    notes: corpus.notes,
  };
  return { manifest, bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) };
}

function tokenize(documents: readonly Document[], tokenizer: Tokenizer): Uint8Array {
  const end = tokenizer.special['<|endoftext|>'];
  const parts = documents.map((document) => {
    const ids = tokenizer.encode(document.text);
    const part = new Uint8Array(2 * (ids.length + 1));
    const view = new DataView(part.buffer);
    for (let i = 0; i <= ids.length; i++) view.setUint16(2 * i, ids[i] ?? end, true);
    return part;
  });
  return Buffer.concat(parts);
}

function referenceOf(bytes: Uint8Array): BlobReference {
  return { blobId: null, sha256: toHex(sha256(bytes)), size: bytes.length };
}

function partOf(bytes: Uint8Array, sequenceLength: number): DatasetPart {
  const tokens = bytes.length / 2;
  const sequences = sequencesOf(tokens, sequenceLength);
  return { tokens, sequences, root: toHex(sequenceRoot(bytes, sequences, sequenceLength)) };
}

/** Sequences overlap by one id (the last target is the next first input); ids left over at the end are not used. */
function sequencesOf(tokens: number, sequenceLength: number): number {
  return Math.max(0, Math.floor((tokens - 1) / sequenceLength));
}

function sequenceBytes(bytes: Uint8Array, index: number, sequenceLength: number): Uint8Array {
  return bytes.subarray(2 * index * sequenceLength, 2 * (index * sequenceLength + sequenceLength + 1));
}

function sequenceRoot(bytes: Uint8Array, sequences: number, sequenceLength: number): Uint8Array {
  const leaves: Uint8Array[] = [];
  for (let i = 0; i < sequences; i++) leaves.push(leafHash(sequenceBytes(bytes, i, sequenceLength)));
  return merkleRoot(leaves);
}

/** The dataset of a manifest, after size, hash, both roots and every id were checked. Fault 'dataset' names what differs. */
export function openDataset(manifest: DatasetManifest, bytes: Uint8Array): Result<Dataset> {
  const refuse = (why: string) => fault('dataset', `dataset ${manifest.name}: ${why}`);
  const { train, heldOut, sequenceLength } = manifest;
  if (bytes.length !== manifest.file.size)
    return refuse(`file has ${bytes.length} bytes, manifest says ${manifest.file.size}`);
  if (toHex(sha256(bytes)) !== manifest.file.sha256) return refuse('file.sha256 differs');
  const trainBytes = bytes.subarray(0, 2 * train.tokens);
  const heldOutBytes = bytes.subarray(2 * train.tokens);
  if (toHex(sequenceRoot(trainBytes, train.sequences, sequenceLength)) !== train.root)
    return refuse('train.root differs');
  if (toHex(sequenceRoot(heldOutBytes, heldOut.sequences, sequenceLength)) !== heldOut.root)
    return refuse('heldOut.root differs');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; at += 2) {
    if (view.getUint16(at, true) >= manifest.tokenizer.vocab)
      return refuse(`id at byte ${at} is outside the vocabulary`);
  }
  return success({
    manifest,
    root: new Uint8Array(Buffer.from(train.root.slice(2), 'hex')),
    sequences: train.sequences,
    heldOutSequences: heldOut.sequences,
    sequence: (index) => readIds(trainBytes, index, train.sequences, sequenceLength),
    heldOutSequence: (index) => readIds(heldOutBytes, index, heldOut.sequences, sequenceLength),
    sequenceLeaf: (index) => {
      check(isCount(index, 0, train.sequences - 1), 'sequenceLeaf: index out of range');
      return leafHash(sequenceBytes(trainBytes, index, sequenceLength));
    },
  });
}

function readIds(bytes: Uint8Array, index: number, sequences: number, sequenceLength: number): Uint16Array {
  check(isCount(index, 0, sequences - 1), 'dataset sequence: index out of range');
  const piece = sequenceBytes(bytes, index, sequenceLength);
  const view = new DataView(piece.buffer, piece.byteOffset, piece.length);
  return Uint16Array.from({ length: sequenceLength + 1 }, (_, i) => view.getUint16(2 * i, true));
}

/** Writes sequences into the rows of a training batch: inputs and the ids that follow them. */
export function fillBatch(sequences: readonly Uint16Array[], ids: Int32Array, targets: Int32Array): void {
  const length = present(sequences[0], 'first sequence').length - 1;
  check(ids.length === sequences.length * length && targets.length === ids.length, 'fillBatch: batch has another size');
  sequences.forEach((sequence, row) => {
    ids.set(sequence.subarray(0, length), row * length);
    targets.set(sequence.subarray(1), row * length);
  });
}

/** The manifest with the blob ids under which its token file and tokenizer were stored. */
export function withBlobIds(manifest: DatasetManifest, fileBlobId: Hex, tokenizerBlobId: Hex): DatasetManifest {
  return {
    ...manifest,
    file: { ...manifest.file, blobId: fileBlobId },
    tokenizer: { ...manifest.tokenizer, blobId: tokenizerBlobId },
  };
}

/** Canonical JSON of a manifest. */
export function manifestText(manifest: DatasetManifest): string {
  return canonicalJson(manifest as unknown as Json);
}

/** SHA-256 of the canonical JSON: the dataset hash in the chain's parameters. */
export function manifestHash(manifest: DatasetManifest): Uint8Array {
  return sha256(utf8(manifestText(manifest)));
}

/** Reads a manifest. Fault 'manifest' names the field. */
export function parseManifest(text: string): Result<DatasetManifest> {
  const refuse = (why: string): Fault => fault('manifest', `manifest: ${why}`);
  if (text.length > MAX_MANIFEST_CHARACTERS) return refuse(`longer than ${MAX_MANIFEST_CHARACTERS} characters`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return refuse('not JSON');
  }
  if (!isRecord(json)) return refuse('not an object');
  const { version, name, sequenceLength, tokenizer, file, train, heldOut, notes } = json;
  if (version !== 1) return refuse('version is not 1');
  if (typeof name !== 'string' || name === '' || name.length > MAX_NOTE_CHARACTERS) {
    return refuse(`name: not text of 1 to ${MAX_NOTE_CHARACTERS} characters`);
  }
  if (!isCount(sequenceLength, 2, MAX_SEQUENCE_LENGTH))
    return refuse(`sequenceLength: not from 2 to ${MAX_SEQUENCE_LENGTH}`);
  if (!isReference(tokenizer, MAX_TOKENIZER_CHARACTERS)) return refuse('tokenizer: not a blob reference');
  if (!isCount(tokenizer.vocab, 1, MAX_VOCAB)) return refuse(`tokenizer.vocab: not from 1 to ${MAX_VOCAB}`);
  if (!isReference(file, 2 * MAX_DATASET_TOKENS)) return refuse('file: not a blob reference within the limit');
  if (!isPart(train, sequenceLength)) return refuse('train: counts do not fit');
  if (!isPart(heldOut, sequenceLength)) return refuse('heldOut: counts do not fit');
  if (train.sequences === 0) return refuse('train.sequences: no sequence');
  if (2 * (train.tokens + heldOut.tokens) !== file.size) return refuse('file.size: not the size of both parts');
  if (!isNotes(notes))
    return refuse(`notes: not at most ${MAX_MANIFEST_NOTES} lines of ${MAX_NOTE_CHARACTERS} characters`);
  const manifest = json as unknown as DatasetManifest;
  // Canonical text equal to the input means: no unknown fields were dropped, so the hash covers what was read.
  const known = {
    version,
    name,
    sequenceLength,
    tokenizer: pickTokenizer(tokenizer),
    file: pick(file),
    train,
    heldOut,
    notes,
  };
  return canonicalJson(known as unknown as Json) === text ? success(manifest) : refuse('not in canonical form');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

function isReference(value: unknown, mostBytes: number): value is BlobReference & Record<string, unknown> {
  if (!isRecord(value)) return false;
  const { blobId, sha256: hash, size } = value;
  return (blobId === null || isHex(blobId, 32)) && isHex(hash, 32) && isCount(size, 0, mostBytes);
}

function isPart(value: unknown, sequenceLength: number): value is DatasetPart {
  if (!isRecord(value) || Object.keys(value).length !== 3) return false;
  const { tokens, sequences, root } = value;
  if (!isCount(tokens, 0, MAX_DATASET_TOKENS) || !isHex(root, 32)) return false;
  return sequences === sequencesOf(tokens, sequenceLength);
}

function isNotes(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || value.length > MAX_MANIFEST_NOTES) return false;
  return value.every((note) => typeof note === 'string' && note.length <= MAX_NOTE_CHARACTERS);
}

function pick(reference: BlobReference): BlobReference {
  return { blobId: reference.blobId, sha256: reference.sha256, size: reference.size };
}

function pickTokenizer(reference: BlobReference & Record<string, unknown>): Json {
  return { ...pick(reference), vocab: reference.vocab as number };
}
