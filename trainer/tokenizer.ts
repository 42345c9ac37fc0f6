// Owns the byte-level BPE tokenizer: encoding, decoding, special tokens, its canonical text. Learning merges is tokenizer-training.ts.
// Ids: 0..255 are the bytes, then one id per merge in order, then the special tokens (docs/protocol/learning-round.md, section T).

import { canonicalJson } from '../base/canonical-json.ts';
import { utf8 } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { check, present } from '../base/check.ts';
import { sha256 } from '../base/hash.ts';
import { MAX_TOKENIZER_CHARACTERS, MAX_VOCAB } from './limits.ts';

/** Special tokens in id order; they take the last ids. Plain encoding never produces them. */
export const SPECIAL_TOKENS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'] as const;
type SpecialToken = (typeof SPECIAL_TOKENS)[number];

export type Merge = readonly [left: number, right: number];

type EncodeOptions = Readonly<{
  /** Turn the written forms of special tokens into their ids. Only for text that the caller wrote itself. */
  special?: boolean;
}>;

/** Decodes ids that arrive one by one; characters come out only when whole. */
type StreamingDecoder = Readonly<{
  push(id: number): string;
  /** What is left; a character cut short becomes U+FFFD. */
  end(): string;
}>;

export type Tokenizer = Readonly<{
  vocab: number;
  merges: readonly Merge[];
  special: Readonly<Record<SpecialToken, number>>;
  /** Ids of any string; unpaired surrogates encode as U+FFFD. */
  encode(text: string, options?: EncodeOptions): number[];
  /** Text of ids; ids outside the vocabulary are left out, special tokens too unless `special`. */
  decode(ids: Iterable<number>, options?: EncodeOptions): string;
  decoder(options?: EncodeOptions): StreamingDecoder;
  /** Bytes of one id, empty for a special token or an id outside the vocabulary. */
  bytesOf(id: number): Uint8Array;
  /** Canonical JSON; its SHA-256 is the tokenizer hash. */
  text: string;
  hash: Uint8Array;
}>;

/**
 * The split of GPT-2, which `tokenizer.ggml.pre = gpt-2` names: contractions, words, numbers, signs, blanks.
 * White space is the Unicode property (JavaScript's own \s has U+FEFF and lacks U+0085).
 */
const SPLIT =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** Pre-tokens of a text, in order; joined they give it back. */
export function splitText(text: string): readonly string[] {
  return text.match(SPLIT) ?? [];
}

/** Key of a pair of ids in maps. */
export function pairKey(left: number, right: number): number {
  return left * MAX_VOCAB + right;
}

/** Pre-tokens remembered with their ids; natural text repeats few. The cache is dropped when full. */
const CACHE_ENTRIES = 65_536;
/** Longer pre-tokens are not remembered, so the cache stays small on hostile text. */
const CACHED_LENGTH = 32;

export function createTokenizer(merges: readonly Merge[]): Tokenizer {
  const vocab = 256 + merges.length + SPECIAL_TOKENS.length;
  check(vocab <= MAX_VOCAB, 'createTokenizer: more merges than 16-bit ids');
  const pieces = pieceBytes(merges);
  const special = Object.fromEntries(
    SPECIAL_TOKENS.map((token, index) => [token, 256 + merges.length + index]),
  ) as Record<SpecialToken, number>;
  const ranks = new Map(merges.map(([left, right], rank) => [pairKey(left, right), rank]));
  const encodePlain = plainEncoder(ranks);
  const text = canonicalJson({ merges: merges.map((pair) => [...pair]), special: [...SPECIAL_TOKENS], version: 1 });

  const bytesOf = (id: number): Uint8Array => pieces[id] ?? new Uint8Array(0);
  function shownBytes(id: number, options: EncodeOptions | undefined): Uint8Array {
    const name = options?.special === true ? SPECIAL_TOKENS[id - 256 - merges.length] : undefined;
    return name === undefined ? bytesOf(id) : utf8(name);
  }
  function decoder(options?: EncodeOptions): StreamingDecoder {
    const utf8Decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    return {
      push: (id) => utf8Decoder.decode(shownBytes(id, options), { stream: true }),
      end: () => utf8Decoder.decode(),
    };
  }
  function encode(input: string, options?: EncodeOptions): number[] {
    const out: number[] = [];
    if (options?.special !== true) {
      encodePlain(input, out);
      return out;
    }
    for (const part of input.split(/(<\|endoftext\|>|<\|im_start\|>|<\|im_end\|>)/)) {
      const id = Object.hasOwn(special, part) ? special[part as SpecialToken] : undefined;
      if (id === undefined) encodePlain(part, out);
      else out.push(id);
    }
    return out;
  }
  function decode(ids: Iterable<number>, options?: EncodeOptions): string {
    const stream = decoder(options);
    const parts: string[] = [];
    for (const id of ids) parts.push(stream.push(id));
    parts.push(stream.end());
    return parts.join('');
  }
  return { vocab, merges, special, encode, decode, decoder, bytesOf, text, hash: sha256(utf8(text)) };
}

function plainEncoder(ranks: ReadonlyMap<number, number>): (text: string, out: number[]) => void {
  const cache = new Map<string, Uint16Array>();
  return (text, out) => {
    for (const word of splitText(text)) {
      let ids = cache.get(word);
      if (ids === undefined) {
        ids = mergeBytes(Buffer.from(word, 'utf8'), ranks);
        if (word.length <= CACHED_LENGTH) {
          if (cache.size >= CACHE_ENTRIES) cache.clear();
          cache.set(word, ids);
        }
      }
      for (const id of ids) out.push(id);
    }
  };
}

/**
 * Applies merges to one pre-token: the lowest rank first, all its occurrences from the left. A merge's id appears only in
 * later merges, so ranks grow and the work is at most (merges x length): linear in hostile input.
 */
function mergeBytes(bytes: Uint8Array, ranks: ReadonlyMap<number, number>): Uint16Array {
  const ids = Uint16Array.from(bytes);
  let length = ids.length;
  for (;;) {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < length; i++) {
      const rank = ranks.get(pairKey(ids[i] as number, ids[i + 1] as number));
      if (rank !== undefined && rank < best) best = rank;
    }
    if (best === Number.POSITIVE_INFINITY) return ids.slice(0, length);
    let write = 0;
    for (let read = 0; read < length; write++) {
      const left = ids[read] as number;
      const merged = read + 1 < length && ranks.get(pairKey(left, ids[read + 1] as number)) === best;
      ids[write] = merged ? 256 + best : left;
      read += merged ? 2 : 1;
    }
    length = write;
  }
}

function pieceBytes(merges: readonly Merge[]): Uint8Array[] {
  const pieces = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  for (const [left, right] of merges) {
    pieces.push(Buffer.concat([present(pieces[left], 'left piece'), present(pieces[right], 'right piece')]));
  }
  return pieces;
}

/** Reads a tokenizer's canonical text. Faults: 'tokenizer' naming the field. */
export function parseTokenizer(text: string): Result<Tokenizer> {
  const refuse = (why: string) => fault('tokenizer', `tokenizer: ${why}`);
  if (text.length > MAX_TOKENIZER_CHARACTERS) return refuse(`longer than ${MAX_TOKENIZER_CHARACTERS} characters`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return refuse('not JSON');
  }
  if (typeof json !== 'object' || json === null) return refuse('not an object');
  const { version, merges } = json as Record<string, unknown>;
  if (version !== 1) return refuse('version is not 1');
  if (!Array.isArray(merges)) return refuse('merges is not a list');
  if (merges.length > MAX_VOCAB - 256 - SPECIAL_TOKENS.length) return refuse('merges: more than 16-bit ids');
  const pairs: Merge[] = [];
  const seen = new Set<number>();
  let bytes = 0;
  const lengths: number[] = new Array<number>(256).fill(1);
  for (const [rank, pair] of merges.entries()) {
    const [left, right] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
    if (!isIdBelow(left, 256 + rank) || !isIdBelow(right, 256 + rank))
      return refuse(`merges[${rank}]: not two earlier ids`);
    if (seen.has(pairKey(left, right))) return refuse(`merges[${rank}]: given twice`);
    seen.add(pairKey(left, right));
    const length = (lengths[left] ?? 0) + (lengths[right] ?? 0);
    lengths.push(length);
    bytes += length;
    // Pieces could double with every merge; an honest piece is a word.
    if (bytes > MAX_TOKENIZER_CHARACTERS)
      return refuse(`merges: pieces hold more than ${MAX_TOKENIZER_CHARACTERS} bytes`);
    pairs.push([left, right]);
  }
  const tokenizer = createTokenizer(pairs);
  return tokenizer.text === text ? success(tokenizer) : refuse('not in canonical form');
}

function isIdBelow(value: unknown, bound: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < bound;
}
