// Shows that the tokenizer gives every text back, learns deterministically and refuses broken files.

import fc from 'fast-check';
import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { prng } from '../../base/prng.ts';
import { mobyDick } from '../../trainer/corpus.ts';
import { SPECIAL_TOKENS, createTokenizer, parseTokenizer, splitText } from '../../trainer/tokenizer.ts';
import { trainTokenizer } from '../../trainer/tokenizer-training.ts';

const chapters = mobyDick()
  .slice(2, 42)
  .map((document) => document.text);
const tokenizer = unwrap(trainTokenizer(chapters, 1_024));

test('every string decodes to itself, and never to a special token id', (t) => {
  const firstSpecial = tokenizer.vocab - SPECIAL_TOKENS.length;
  const property = fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
    const ids = tokenizer.encode(text);
    return tokenizer.decode(ids) === Buffer.from(text).toString() && ids.every((id) => id < firstSpecial);
  });
  fc.assert(property, { numRuns: 2_000, seed: 1 });
  t.is(tokenizer.decode(tokenizer.encode('\ufeff<|im_end|>\u0000 0123')), '\ufeff<|im_end|>\u0000 0123');
  t.is(tokenizer.decode(tokenizer.encode('a\ud800b')), 'a\ufffdb');
});

test('a pre-token never changes when its text is split, and the pieces join to the text', (t) => {
  const property = fc.property(
    fc.string({ unit: 'grapheme', maxLength: 80 }),
    (text) => splitText(text).join('') === text,
  );
  fc.assert(property, { numRuns: 2_000, seed: 2 });
  t.deepEqual(splitText("It's  1999,\n\nsaid he!  "), [
    'It',
    "'s",
    ' ',
    ' 1999',
    ',',
    '\n',
    '\n',
    'said',
    ' he',
    '!',
    '  ',
  ]);
});

test('merging agrees with the plain definition: the lowest-ranked pair first, from the left', (t) => {
  const ranks = new Map(tokenizer.merges.map(([left, right], rank) => [`${left},${right}`, rank]));
  const random = prng('tokenizer reference');
  const sample = Array.from({ length: 400 }, () => {
    const text = chapters[random.below(chapters.length)] as string;
    const at = random.below(text.length - 40);
    return text.slice(at, at + 40);
  });
  for (const text of [...sample, 'aaaaaaa', 'the the thethe', 'eeeeeeeeeeeeeeee']) {
    const expected = splitText(text).flatMap((word) => {
      let ids = [...Buffer.from(word, 'utf8')];
      for (;;) {
        const pairs = ids.slice(1).map((id, i) => ranks.get(`${ids[i]},${id}`) ?? Number.POSITIVE_INFINITY);
        const best = Math.min(...pairs);
        if (best === Number.POSITIVE_INFINITY) return ids;
        const at = pairs.indexOf(best);
        ids = [...ids.slice(0, at), 256 + best, ...ids.slice(at + 2)];
      }
    });
    t.deepEqual(tokenizer.encode(text), expected);
  }
});

test('learning is deterministic: same text, same hash, whatever the order of documents', (t) => {
  const again = unwrap(trainTokenizer(chapters.toReversed(), 1_024));
  t.is(again.text, tokenizer.text);
  t.is(tokenizer.vocab, 1_024);
});

test('ties go to the smaller left id, then the smaller right id', (t) => {
  // 'cd', 'ab', 'ax' occur twice each: (a,b) comes first, then (a,x), then (c,d).
  const small = unwrap(trainTokenizer(['cd.ab.ax.', 'cd.ab.ax.'], 262));
  t.deepEqual(
    small.merges.map(([left, right]) => String.fromCharCode(left, right)),
    ['ab', 'ax', 'cd'],
  );
});

test('special tokens are only made when asked for, and only shown when asked for', (t) => {
  const text = '<|im_start|>user\nHi<|im_end|>';
  const ids = tokenizer.encode(text, { special: true });
  t.is(ids[0], tokenizer.special['<|im_start|>']);
  t.is(ids.at(-1), tokenizer.special['<|im_end|>']);
  t.is(tokenizer.decode(ids, { special: true }), text);
  t.is(tokenizer.decode(ids), 'user\nHi');
  t.true(tokenizer.encode(text).length > ids.length);
});

test('a streaming decoder never splits a character', (t) => {
  const text = 'naïve 🐋 — Ἀχαιοί';
  const bytesOnly = createTokenizer([]);
  const decoder = bytesOnly.decoder();
  const parts = bytesOnly.encode(text).map((id) => decoder.push(id));
  t.true(parts.every((part) => !part.includes('\ufffd')));
  t.is(parts.join('') + decoder.end(), text);
  const cut = bytesOnly.decoder();
  t.is(cut.push(0xf0) + cut.push(0x9f) + cut.end(), '\ufffd');
  t.is(bytesOnly.decode([70_000, -1, 65]), 'A');
});

test('hostile input costs linear time: a million equal letters are one pre-token', (t) => {
  const text = 'a'.repeat(1_000_000);
  t.is(tokenizer.decode(tokenizer.encode(text)).length, text.length);
});

test('the canonical text reads back to the same tokenizer; anything else is refused by name', (t) => {
  const again = unwrap(parseTokenizer(tokenizer.text));
  t.is(toHex(again.hash), toHex(tokenizer.hash));
  const refusals: [string, RegExp][] = [
    ['{', /not JSON/],
    ['[]', /version/],
    ['null', /not an object/],
    ['{"version":1}', /merges is not a list/],
    ['{"merges":[[1]],"version":1}', /merges\[0\]/],
    ['{"merges":[[1,256]],"version":1}', /merges\[0\]/],
    ['{"merges":[[1,2],[1,2]],"version":1}', /merges\[1\]: given twice/],
    [
      `{"merges":[[97,97],${Array.from({ length: 60 }, (_, i) => `[${256 + i},${256 + i}]`)}],"version":1}`,
      /pieces hold/,
    ],
    [tokenizer.text.replace('"version":1', '"version":1,"x":2'), /canonical/],
    [` ${tokenizer.text}`, /canonical/],
  ];
  for (const [text, message] of refusals) {
    const result = parseTokenizer(text);
    t.false(result.ok);
    if (!result.ok) t.regex(result.message, message);
  }
});

test('a vocabulary that is out of range or larger than the text allows is refused', (t) => {
  for (const vocab of [259, 65_537, 300.5]) t.false(trainTokenizer(['some text'], vocab).ok);
  const result = trainTokenizer(['ab'], 300);
  t.regex(result.ok ? '' : result.message, /pairs for 260 ids only/);
});
