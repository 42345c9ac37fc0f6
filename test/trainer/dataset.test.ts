// Shows that a dataset is what its manifest says, or is refused by the name of what differs.

import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { mobyDick, splitCorpus } from '../../trainer/corpus.ts';
import {
  type DatasetManifest,
  buildDataset,
  fillBatch,
  manifestHash,
  manifestText,
  openDataset,
  parseManifest,
  withBlobIds,
} from '../../trainer/dataset.ts';
import { trainTokenizer } from '../../trainer/tokenizer-training.ts';

const corpus = splitCorpus('twenty chapters', mobyDick().slice(20, 40), ['public domain']);
const tokenizer = unwrap(
  trainTokenizer(
    corpus.train.map((document) => document.text),
    512,
  ),
);
const { manifest, bytes } = buildDataset(corpus, tokenizer, 64);

test('the tokens of all sequences decode to the documents, each followed by the end of text', (t) => {
  const dataset = unwrap(openDataset(manifest, bytes));
  const ids = [...dataset.sequence(0).subarray(0, 64)];
  for (let i = 1; i < dataset.sequences; i++) ids.push(...dataset.sequence(i).subarray(0, 64));
  const text = corpus.train.map((document) => `${document.text}<|endoftext|>`).join('');
  const decoded = tokenizer.decode(ids, { special: true });
  t.true(decoded.length > text.length - 400);
  t.true(text.startsWith(decoded.slice(0, -2)));
  t.true(dataset.heldOutSequences > 0);
  const heldOut = tokenizer.decode(dataset.heldOutSequence(0));
  t.true((corpus.heldOut[0]?.text ?? '').startsWith(heldOut.slice(0, 40)));
});

test('a batch holds inputs and the ids that follow them', (t) => {
  const dataset = unwrap(openDataset(manifest, bytes));
  const ids = new Int32Array(128);
  const targets = new Int32Array(128);
  fillBatch([dataset.sequence(3), dataset.sequence(9)], ids, targets);
  t.deepEqual([...ids.subarray(65, 128)], [...targets.subarray(64, 127)]);
  t.is(targets[63], dataset.sequence(4)[0]);
});

test('a changed bit anywhere in the file is refused', (t) => {
  for (const at of [0, 1_001, 2 * manifest.train.tokens + 8]) {
    const changed = bytes.slice();
    changed[at] = (changed[at] as number) ^ 1;
    t.false(openDataset(manifest, changed).ok);
    // With the hash of the changed file in the manifest, the roots still tell.
    const forged = buildManifestFor(changed);
    const result = openDataset(forged, changed);
    t.false(result.ok);
  }
  t.false(openDataset(manifest, bytes.subarray(2)).ok);
});

function buildManifestFor(file: Uint8Array): DatasetManifest {
  return { ...manifest, file: { ...manifest.file, sha256: toHex(sha256(file)) } };
}

test('manifests read back, and blob ids are part of the hash', (t) => {
  const text = manifestText(manifest);
  t.deepEqual(unwrap(parseManifest(text)), manifest);
  const stored = withBlobIds(manifest, `0x${'11'.repeat(32)}`, `0x${'22'.repeat(32)}`);
  t.deepEqual(unwrap(parseManifest(manifestText(stored))), stored);
  t.not(toHex(manifestHash(stored)), toHex(manifestHash(manifest)));
});

test('broken manifests are refused by the name of the field', (t) => {
  const change = (path: string, value: unknown) => {
    const copy = structuredClone(manifest) as unknown as Record<string, unknown>;
    const keys = path.split('.');
    const last = keys.pop() as string;
    let at = copy;
    for (const key of keys) at = at[key] as Record<string, unknown>;
    at[last] = value;
    return manifestText(copy as unknown as DatasetManifest);
  };
  const refusals: [string, RegExp][] = [
    ['[', /not JSON/],
    ['3', /not an object/],
    [change('version', 2), /version/],
    [change('name', ''), /name/],
    [change('sequenceLength', 1), /sequenceLength/],
    [change('tokenizer.vocab', 65_537), /tokenizer.vocab/],
    [change('tokenizer.sha256', '0x12'), /tokenizer/],
    [change('file.size', -1), /file/],
    [change('file.size', manifest.file.size + 2), /file.size/],
    [change('train.sequences', manifest.train.sequences + 1), /train/],
    [change('heldOut.tokens', 2 ** 31), /heldOut/],
    [change('notes', ['x'.repeat(501)]), /notes/],
    [change('extra', 1), /canonical/],
    [change('file.extra', 1), /canonical/],
    [`${manifestText(manifest)} `, /canonical/],
  ];
  for (const [text, message] of refusals) {
    const result = parseManifest(text);
    t.false(result.ok, text.slice(0, 80));
    if (!result.ok) t.regex(result.message, message);
  }
});
