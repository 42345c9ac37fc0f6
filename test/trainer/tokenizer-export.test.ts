// Shows that another tool, given our exported tokenizer.json, makes the same ids of the same texts.

import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import test from 'ava';
import { unwrap } from '../../base/fault.ts';
import { prng } from '../../base/prng.ts';
import { mobyDick } from '../../trainer/corpus.ts';
import { trainTokenizer } from '../../trainer/tokenizer-training.ts';
import { huggingFaceTokenizer } from '../../trainer/tokenizer-export.ts';

const chapters = mobyDick()
  .slice(2, 42)
  .map((document) => document.text);
const tokenizer = unwrap(trainTokenizer(chapters, 1_024));
const exported = huggingFaceTokenizer(tokenizer);
const other = new HuggingFaceTokenizer(JSON.parse(exported), {});

const texts = [
  'Call me Ishmael. Some years ago—never mind how long precisely',
  "It's 1851; they'll  find   blanks,\n\n tabs\tand 3.14159 numbers!",
  'naïve 🐋🐋 — Ἀχαιοί שלום 鯨 x²',
  '0 1 2 3 4 5 6 7 8 9 42 007',
  '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
  ' ',
  '   leading and trailing   ',
];

test('the same texts give the same ids in @huggingface/tokenizers', (t) => {
  const random = prng('export');
  const pieces = Array.from({ length: 60 }, () => {
    const text = chapters[random.below(chapters.length)] as string;
    const at = random.below(text.length - 200);
    return text.slice(at, at + 200);
  });
  for (const text of [...texts, ...pieces]) {
    t.deepEqual(other.encode(text).ids, tokenizer.encode(text, { special: true }), text);
  }
});

test('ids stand in order in the file, digits where they belong', (t) => {
  const ids = [...exported.slice(exported.indexOf('"vocab":{')).matchAll(/":(\d+)[,}]/g)].map((match) =>
    Number(match[1]),
  );
  t.deepEqual(
    ids.slice(0, tokenizer.vocab),
    Array.from({ length: tokenizer.vocab }, (_, id) => id),
  );
});
