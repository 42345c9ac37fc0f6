// Owns learning a tokenizer's merges from documents, deterministically. Applying them is tokenizer.ts.

import { check, present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { MAX_VOCAB, MIN_VOCAB } from './limits.ts';
import { type Merge, SPECIAL_TOKENS, type Tokenizer, createTokenizer, pairKey, splitText } from './tokenizer.ts';

export const DEFAULT_VOCAB = 1_024;

/** A pre-token as ids, with how often it occurs. */
type Word = { ids: number[]; readonly count: number };
/** Occurrences of a pair, and the words it may stand in (a superset: words are not removed when a pair leaves them). */
type Pair = { readonly left: number; readonly right: number; count: number; readonly words: Set<number> };

/**
 * Learns `vocab - 259` merges: each time the most frequent adjacent pair; on a tie the one with the smaller left id,
 * then the smaller right id (docs/protocol/learning-round.md, T-4). Fault 'vocab' when the size is out of range or the
 * text has too few pairs.
 */
export function trainTokenizer(texts: Iterable<string>, vocab: number = DEFAULT_VOCAB): Result<Tokenizer> {
  if (!Number.isInteger(vocab) || vocab < MIN_VOCAB || vocab > MAX_VOCAB) {
    return fault('vocab', `vocab: ${vocab} is not a whole number from ${MIN_VOCAB} to ${MAX_VOCAB}`, { vocab });
  }
  const words = countWords(texts);
  const pairs = countPairs(words);
  const merges: Merge[] = [];
  while (merges.length < vocab - 256 - SPECIAL_TOKENS.length) {
    const best = mostFrequent(pairs);
    if (best === undefined) {
      return fault('vocab', `vocab: the text has pairs for ${merges.length + 256 + SPECIAL_TOKENS.length} ids only`, {
        vocab,
      });
    }
    applyMerge(best, 256 + merges.length, words, pairs);
    merges.push([best.left, best.right]);
  }
  return success(createTokenizer(merges));
}

function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of splitText(text)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].map(([word, count]) => ({ ids: [...Buffer.from(word, 'utf8')], count }));
}

function countPairs(words: readonly Word[]): Map<number, Pair> {
  const pairs = new Map<number, Pair>();
  for (const [index, word] of words.entries()) addPairs(word, index, 1, pairs);
  return pairs;
}

function addPairs(word: Word, index: number, sign: 1 | -1, pairs: Map<number, Pair>): void {
  for (let i = 0; i + 1 < word.ids.length; i++) {
    const left = word.ids[i] as number;
    const right = word.ids[i + 1] as number;
    const key = pairKey(left, right);
    let pair = pairs.get(key);
    if (pair === undefined) {
      pair = { left, right, count: 0, words: new Set() };
      pairs.set(key, pair);
    }
    pair.count += sign * word.count;
    if (sign === 1) pair.words.add(index);
    else if (pair.count === 0) pairs.delete(key);
  }
}

function mostFrequent(pairs: ReadonlyMap<number, Pair>): Pair | undefined {
  let best: Pair | undefined;
  for (const pair of pairs.values()) {
    if (best === undefined || pair.count > best.count || (pair.count === best.count && precedes(pair, best)))
      best = pair;
  }
  return best;
}

function precedes(a: Pair, b: Pair): boolean {
  return a.left !== b.left ? a.left < b.left : a.right < b.right;
}

function applyMerge(pair: Pair, id: number, words: readonly Word[], pairs: Map<number, Pair>): void {
  for (const index of pair.words) {
    const word = present(words[index], 'word');
    const merged = replacePair(word.ids, pair.left, pair.right, id);
    if (merged.length === word.ids.length) continue;
    addPairs(word, index, -1, pairs);
    word.ids = merged;
    addPairs(word, index, 1, pairs);
  }
  check(!pairs.has(pairKey(pair.left, pair.right)), 'trainTokenizer: a merged pair is gone');
}

function replacePair(ids: readonly number[], left: number, right: number, id: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === left && ids[i + 1] === right) {
      out.push(id);
      i++;
    } else {
      out.push(ids[i] as number);
    }
  }
  return out;
}
