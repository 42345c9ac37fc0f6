// Owns feeding mutated and absurd bytes to the decoders of wire-targets.ts: each answers, in words, and takes no memory for what
// bytes only state.

import { present } from '../../base/check.ts';
import { type Prng, prng } from '../../base/prng.ts';
import { mutate } from '../engine/fuzz.ts';
import { type WireTarget, wireTargets } from './wire-targets.ts';

/** A refusal's message is for a log line. */
const MESSAGE_CHARACTERS = 1_000;
/** Bytes a decoder may take beside some times its input; counts of 2^32 - 1 stand for hundreds of megabytes at least. */
const SLACK_BYTES = 24 << 20;
const TIMES_INPUT = 64;

export type WireResult = Readonly<{
  inputs: number;
  accepted: number;
  refused: number;
  /** Most bytes of memory by which one input raised the process, and whose it was. */
  mostBytes: number;
  mostBytesBy: string;
  wrong: readonly string[];
}>;

/** Every count at once: all bits set from some place on, or a word of ones anywhere. */
function absurd(bytes: Uint8Array, random: Prng): Uint8Array {
  const out = bytes.slice();
  const at = random.below(Math.max(1, out.length));
  out.fill(0xff, at, random.below(2) === 0 ? out.length : at + 8);
  return out;
}

function badBytes({ samples }: WireTarget, random: Prng): Uint8Array {
  let bytes = present(samples[random.below(samples.length)], 'sample');
  const kind = random.below(6);
  if (kind === 0) return random.bytes(random.below(300));
  if (kind === 1) return absurd(bytes, random);
  for (let changes = 1 + random.below(3); changes > 0; changes--) bytes = mutate(bytes, samples, random);
  return bytes;
}

function memoryBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Replays from seed and number of input. */
export async function fuzzWire(
  seed: string,
  inputs: number,
  note: (line: string) => void = () => {},
): Promise<WireResult> {
  const random = prng(seed);
  const targets = wireTargets();
  const counts = new Map(targets.map(({ name }) => [name, { accepted: 0, refused: 0 }]));
  const wrong: string[] = [];
  let [mostBytes, mostBytesBy] = [0, ''];
  for (let i = 0; i < inputs; i++) {
    const target = present(targets[i % targets.length], 'target');
    const { name } = target;
    // The first turn shows that the samples themselves are taken.
    const bytes = i < targets.length ? present(target.samples[0], 'sample') : badBytes(target, random);
    const before = memoryBytes();
    try {
      const answer = await target.decode(bytes);
      const taken = memoryBytes() - before;
      if (taken > mostBytes) [mostBytes, mostBytesBy] = [taken, name];
      if (taken > SLACK_BYTES + TIMES_INPUT * bytes.length)
        wrong.push(`input ${i} (${name}): ${taken} bytes of memory for ${bytes.length}`);
      const count = present(counts.get(name), name);
      if (answer.ok) count.accepted++;
      else count.refused++;
      if (i < targets.length && !answer.ok && name !== 'token file' && name !== 'refusal of a peer')
        wrong.push(`a valid ${name} is refused: ${answer.message}`);
      if (!answer.ok && (answer.code === '' || answer.message === '' || answer.message.length > MESSAGE_CHARACTERS))
        wrong.push(`input ${i} (${name}): a refusal of ${answer.message.length} characters`);
    } catch (error) {
      wrong.push(`input ${i} (${name}): ${error instanceof Error ? error.message : String(error)}`);
    }
    if ((i + 1) % 50_000 === 0) note(`${i + 1} inputs, ${wrong.length} wrong`);
  }
  for (const [name, { accepted, refused }] of counts) note(`  ${name}: ${accepted} accepted, ${refused} refused`);
  const sum = (key: 'accepted' | 'refused') => [...counts.values()].reduce((total, one) => total + one[key], 0);
  return { inputs, accepted: sum('accepted'), refused: sum('refused'), mostBytes, mostBytesBy, wrong };
}
