// Text of a generation: however tokens cut bytes, no character is split and no stop string shows.

import test from 'ava';
import fc from 'fast-check';
import { textStream } from '../../rpc/openai/text-stream.ts';

function token(bytes: Uint8Array) {
  return { kind: 'token' as const, id: 0, bytes, logprob: -1, top: [] };
}

/** Text in pieces as the stream gives it out, until it says stop. */
function run(chunks: readonly Uint8Array[], stops: readonly string[]) {
  const stream = textStream(stops);
  const pieces: string[] = [];
  let tokens = 0;
  for (const chunk of chunks) {
    const { text, tokens: made, stopped } = stream.push(token(chunk));
    pieces.push(text);
    tokens += made.length;
    if (stopped) return { pieces, tokens, stopped };
  }
  const rest = stream.flush();
  pieces.push(rest.text);
  return { pieces, tokens: tokens + rest.tokens.length, stopped: false };
}

const cut = (bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] => {
  const out: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    out.push(bytes.subarray(at, at + size));
    at += size;
  }
  return out;
};

const words = fc.string({ unit: fc.constantFrom('a', 'b', '>', ' ', 'é', '漢', '😀', '\n'), maxLength: 60 });
const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 10 });

test('however the bytes are cut, the text is whole and each piece well formed', (t) => {
  fc.assert(
    fc.property(words, sizes, (text, parts) => {
      const chunks = cut(new TextEncoder().encode(text), parts);
      const { pieces, tokens } = run(chunks, []);
      for (const piece of pieces) if (/\p{Surrogate}/u.test(piece) || piece.includes('\ufffd')) return false;
      return pieces.join('') === text && tokens === chunks.length;
    }),
    { seed: 1, numRuns: 500 },
  );
  t.pass();
});

test('the text ends where the first stop string begins, and no part of it shows', (t) => {
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '>', '漢'), minLength: 1, maxLength: 5 }), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(words, sizes, stops, (text, parts, list) => {
      const { pieces, stopped } = run(cut(new TextEncoder().encode(text), parts), list);
      const at = Math.min(...list.map((stop) => text.indexOf(stop)).map((found) => (found < 0 ? text.length : found)));
      const meets = list.some((stop) => text.includes(stop));
      const shown = pieces.join('');
      // A stop string may be met before a longer one that began earlier is complete.
      return (
        stopped === meets && !list.some((stop) => shown.includes(stop)) && text.startsWith(shown) && shown.length >= at
      );
    }),
    { seed: 2, numRuns: 2_000 },
  );
  t.pass();
});

test('a stop string across tokens is held back until it is known', (t) => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const { pieces } = run(['go >>', '>>', '> UP', 'D'].map(bytes), ['>>>>>>> UPD']);
  t.is(pieces.join(''), 'go >>>>> UPD');
  const stopped = run(['go >>>', '>>>', '> UP', 'D more'].map(bytes), ['>>>>>>> UPD']);
  t.is(stopped.pieces.join(''), 'go ');
  t.true(stopped.stopped);
});

test('bytes that are no UTF-8 become replacement characters, not errors', (t) => {
  const { pieces } = run([Uint8Array.of(0x61, 0xff), Uint8Array.of(0xe6), Uint8Array.of(0x62)], []);
  t.is(pieces.join(''), 'a\ufffd\ufffdb');
});
