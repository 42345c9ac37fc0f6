// Owns the tokenizer in the form other tools read: Hugging Face tokenizer.json, with GPT-2's printable names of bytes.

import { SPECIAL_TOKENS, type Tokenizer } from './tokenizer.ts';

/** GPT-2's name of each byte: printable Latin-1 as itself, the 68 others as U+0100 and up. */
const BYTE_NAMES: readonly string[] = byteNames();

function byteNames(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
}

/** Written form of an id in tokenizer.json. */
function nameOf(tokenizer: Tokenizer, id: number): string {
  return Array.from(tokenizer.bytesOf(id), (byte) => BYTE_NAMES[byte] ?? '').join('');
}

/** Written forms of all ids in order, and of the merges: what exports hold. */
export function tokenNames(tokenizer: Tokenizer): Readonly<{ tokens: readonly string[]; merges: readonly string[] }> {
  const names = Array.from({ length: tokenizer.vocab - SPECIAL_TOKENS.length }, (_, id) => nameOf(tokenizer, id));
  const merges = tokenizer.merges.map(([left, right]) => `${names[left]} ${names[right]}`);
  return { tokens: [...names, ...SPECIAL_TOKENS], merges };
}

/**
 * The text of tokenizer.json. The vocabulary is written by hand in id order: as properties of an object, the tokens
 * "0" to "9" would come first, and readers that number by position would be wrong.
 */
export function huggingFaceTokenizer(tokenizer: Tokenizer): string {
  const { tokens, merges } = tokenNames(tokenizer);
  const entries = tokens.map((name, id) => `${JSON.stringify(name)}:${id}`);
  const added = SPECIAL_TOKENS.map((content) => ({
    id: tokenizer.special[content],
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const model = `{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{${entries.join(',')}},"merges":${JSON.stringify(merges)}}`;
  const head = JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
  });
  return `${head.slice(0, -1)},"model":${model}}`;
}
