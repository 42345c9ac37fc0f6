// Shows that the texts of the installed packages are what the notes say, and that the split never changes.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { toHex, utf8 } from '../../base/bytes.ts';
import { sha256 } from '../../base/hash.ts';
import { joinDocuments, loadCorpus, mobyDick, normaliseText, stateOfTheUnion } from '../../trainer/corpus.ts';
import { sharedData } from '../shared-data.ts';

const MOBY_DICK_SHA256 = '0xe8c8da17fb9266f99fdf6fe5931ea3d985d3a60126f3535fc4d6ab2314e6df82';
const SOTU_SHA256 = '0xd91e26262f5f4be615c74f73102771841546451f520defcbd153af34a3af9944';

test('the texts of the packages, joined, have the known hashes', (t) => {
  t.is(toHex(sha256(utf8(joinDocuments(mobyDick())))), MOBY_DICK_SHA256);
  t.is(toHex(sha256(utf8(joinDocuments(stateOfTheUnion())))), SOTU_SHA256);
});

test('the texts equal the shared copies byte for byte', (t) => {
  const cases = [
    { file: 'corpus/moby-dick.txt.gz', documents: mobyDick() },
    { file: 'corpus/state-of-the-union.txt.gz', documents: stateOfTheUnion() },
  ];
  for (const { file, documents } of cases) {
    const path = sharedData(file);
    if (path === null) {
      t.log(`skipped: ${file} is not there`);
      continue;
    }
    t.true(gunzipSync(readFileSync(path)).toString('utf8') === joinDocuments(documents));
  }
  t.pass();
});

test('between 2 and 5 percent of each text is held out, and no document is in both parts', (t) => {
  for (const name of ['moby-dick', 'sotu', 'moby-dick+sotu'] as const) {
    const { train, heldOut, notes } = loadCorpus(name);
    const size = (documents: typeof train) => documents.reduce((sum, document) => sum + document.text.length, 0);
    const share = size(heldOut) / (size(train) + size(heldOut));
    t.true(share > 0.02 && share < 0.05, `${name}: ${share}`);
    const names = new Set(train.map((document) => document.name));
    t.true(heldOut.every((document) => !names.has(document.name)));
    t.is(names.size, train.length);
    t.true(notes.every((note) => note.includes('CC0')));
  }
});

test('normalising removes carriage returns, blanks at line ends and blanks around the text', (t) => {
  t.is(normaliseText('\r\n a \t\r\nb\rc  '), 'a\nb\nc');
});
