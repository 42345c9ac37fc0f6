// Owns the fuzzing of every decoder of the engine and of models: programs, safetensors, checkpoints, updates, leaves,
// configurations, tokenizers. `npm run test:fuzz-decoders -- --inputs 200000 --seed S`.

import { parseArgs } from 'node:util';
import { toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { sha256 } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { type Prng, prng } from '../../base/prng.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { OP_NAMES } from '../../engine/instruction.ts';
import { type TensorProgram, decodeProgram, encodeProgram } from '../../engine/program.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../trainer/checkpoint.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import { decodeLeaves, encodeLeaves } from '../../trainer/leaf.ts';
import { parseTrainingConfig, trainingConfigText } from '../../trainer/rules.ts';
import { decodeSafetensors } from '../../trainer/safetensors.ts';
import { DEFAULT_OPTIMIZER } from '../../trainer/schedule.ts';
import { floats } from '../../trainer/step-runner.ts';
import { parseTokenizer } from '../../trainer/tokenizer.ts';
import { trainTokenizer } from '../../trainer/tokenizer-training.ts';
import { buildTrainProgram } from '../../trainer/train-program.ts';
import { decodeUpdate, encodeUpdate } from '../../trainer/update.ts';
import { caseOf, difference, runCase } from './cases.ts';
import { TINY, TINY_SHAPE } from './training-run.ts';

export type Answer = Readonly<{ ok: true }> | Readonly<{ ok: false; code: string; message: string }>;
/** `decode` throws nothing; it answers with a value that is as canonical as its bytes, or with a refusal that says why. */
export type Target = Readonly<{ name: string; samples: readonly Uint8Array[]; decode(bytes: Uint8Array): Answer }>;

/** A refusal's message is for a log line. */
const MESSAGE_CHARACTERS = 1_000;
/** Programs that decode are run where they are small, on the oracle and on WebAssembly, with inputs of any value. */
const RUN_BYTES = 1 << 17;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

function checkpointTarget(): Target {
  const params = initialWeights(TINY, sha256(utf8('fuzz')));
  const zero = toHex(new Uint8Array(32));
  const hashes = { baseRoot: zero, datasetHash: zero, tokenizerHash: zero, kernelSpec: zero, programHash: zero };
  const file = encodeCheckpoint(TINY, params, { chainId: 1n, round: 3, version: 2, ...hashes });
  const root = stateRoot(params);
  const decode = (bytes: Uint8Array): Answer => {
    const read = decodeCheckpoint(TINY, bytes, root);
    // Only metadata may differ: the parameters are those of the root.
    if (read.ok && Buffer.compare(read.value.params, params) !== 0) throw new Error('another model was accepted');
    return read;
  };
  return { name: 'checkpoint', samples: [file], decode };
}

function updateTarget(): Target {
  const base = floats(initialWeights(TINY, sha256(utf8('base'))));
  const final = floats(initialWeights(TINY, sha256(utf8('final'))));
  const update = present(encodeUpdate(base, final) ?? undefined, 'update');
  return { name: 'update', samples: [update], decode: (bytes) => decodeUpdate(bytes, base.length) };
}

function leavesTarget(): Target {
  const leaf = { stateRoot: sha256(utf8('a')), gradRoot: sha256(utf8('b')), lossBits: 0x4000_0000 };
  const bytes = encodeLeaves([leaf, leaf, leaf]);
  return { name: 'leaves', samples: [bytes], decode: (changed) => decodeLeaves(changed, 3) };
}

function configTarget(): Target {
  const config = { version: 1 as const, model: TINY, optimizer: DEFAULT_OPTIMIZER, updateCodec: 1 as const };
  const samples = [config, { ...config, microBatch: 2 }, { ...config, updates: 4 }].map((one) =>
    utf8(trainingConfigText(one)),
  );
  const decode = (bytes: Uint8Array): Answer => {
    const read = parseTrainingConfig(text(bytes));
    if (read.ok && trainingConfigText(read.value) !== text(bytes)) throw new Error('not canonical');
    return read;
  };
  return { name: 'training configuration', samples, decode };
}

function tokenizerTarget(): Target {
  const trained = trainTokenizer(['the whale and the ship and the sea, the sea'], 270);
  if (!trained.ok) throw new Error(trained.message);
  return { name: 'tokenizer', samples: [utf8(trained.value.text)], decode: (bytes) => parseTokenizer(text(bytes)) };
}

type Engines = Readonly<{ scalar: Executor; wasm: Executor }>;

function programTarget({ scalar, wasm }: Engines, random: Prng): Target {
  const samples = [...OP_NAMES.map((op) => caseOf(op, 'fuzz').program), buildTrainProgram(TINY, TINY_SHAPE)];
  const decode = (bytes: Uint8Array): Answer => {
    const read = decodeProgram(bytes);
    if (!read.ok) return read;
    if (Buffer.compare(encodeProgram(read.value), bytes) !== 0) throw new Error('not canonical');
    if (read.value.arenaBytes < RUN_BYTES && random.below(8) === 0) runBoth(read.value, scalar, wasm, random);
    return read;
  };
  return { name: 'program', samples: samples.map(encodeProgram), decode };
}

/** Numbers, infinities and ids of any value: both engines give the same bits or refuse the same instruction. */
function runBoth(program: TensorProgram, scalar: Executor, wasm: Executor, random: Prng): void {
  const data: Record<string, Float32Array | Int32Array> = {};
  for (const { name, role, dtype, shape } of program.tensors) {
    if (role !== 'input' && role !== 'state') continue;
    const length = shape.reduce((product, size) => product * size, 1);
    const odd = random.below(6) === 0;
    data[name] =
      dtype === 'f32'
        ? Float32Array.from({ length }, () => (odd && random.below(50) === 0 ? Number.NaN : random.u32() / 2 ** 31 - 1))
        : Int32Array.from({ length }, () => (odd && random.below(9) === 0 ? random.u32() | 0 : random.below(4)));
  }
  const one = { op: program.instructions[0]?.op ?? 'zero', program, data };
  const found = difference(runCase(scalar, one), runCase(wasm, one));
  if (found !== null) throw new Error(`wasm and the oracle differ on a decoded program: ${found}`);
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** One change: cut, lengthened, a bit, a byte, a word at the edge of its range, a part of another sample. */
export function mutate(bytes: Uint8Array, others: readonly Uint8Array[], random: Prng): Uint8Array {
  const at = random.below(Math.max(1, bytes.length));
  const out = bytes.slice();
  const join = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
  switch (random.below(8)) {
    case 0:
      return bytes.slice(0, at);
    case 1:
      out[at] = random.below(256);
      return out;
    case 2:
      out[at] = (out[at] ?? 0) ^ (1 << random.below(8));
      return out;
    case 3:
      return join(bytes.subarray(0, at), Uint8Array.of(random.below(256)), bytes.subarray(at));
    case 4:
      return join(bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(8)));
    case 5: {
      const word = new DataView(new ArrayBuffer(4));
      word.setUint32(0, EXTREMES[random.below(EXTREMES.length)] ?? 0, random.below(2) === 0);
      out.set(new Uint8Array(word.buffer).subarray(0, Math.max(0, Math.min(4, out.length - at))), at);
      return out;
    }
    case 6: {
      const other = others[random.below(others.length)] ?? bytes;
      return join(bytes.subarray(0, at), other.subarray(random.below(Math.max(1, other.length))));
    }
    default:
      return join(bytes.subarray(0, at), bytes.subarray(Math.max(0, at - random.below(64))));
  }
}

export type FuzzResult = Readonly<{ inputs: number; accepted: number; refused: number; wrong: readonly string[] }>;

/** Feeds mutated samples to all decoders in turn. Every input is found again by seed and number. */
export async function fuzz(seed: string, inputs: number, note: (line: string) => void = () => {}): Promise<FuzzResult> {
  const random = prng(seed);
  const engines = {
    scalar: await createExecutor({ backend: 'scalar' }),
    wasm: await createExecutor({ backend: 'wasm' }),
  };
  const tensors = checkpointTarget();
  const targets: readonly Target[] = [
    programTarget(engines, random),
    tensors,
    { ...tensors, name: 'safetensors', decode: decodeSafetensors },
    updateTarget(),
    leavesTarget(),
    configTarget(),
    tokenizerTarget(),
  ];
  const counts = new Map(targets.map(({ name }) => [name, { accepted: 0, refused: 0 }]));
  const wrong: string[] = [];
  for (let i = 0; i < inputs; i++) {
    // Every other input is a program: the one decoder whose result is run.
    const { name, samples, decode } = present(
      targets[i % 2 === 0 ? 0 : 1 + random.below(targets.length - 1)],
      'target',
    );
    let bytes = present(samples[random.below(samples.length)], 'sample');
    for (let changes = 1 + random.below(3); changes > 0; changes--) bytes = mutate(bytes, samples, random);
    try {
      const answer = decode(bytes);
      const count = present(counts.get(name), name);
      if (answer.ok) count.accepted++;
      else count.refused++;
      if (!answer.ok && (answer.message === '' || answer.message.length > MESSAGE_CHARACTERS))
        wrong.push(`input ${i} (${name}): a refusal of ${answer.message.length} characters`);
    } catch (error) {
      wrong.push(`input ${i} (${name}): ${error instanceof Error ? error.message : String(error)}`);
    }
    if ((i + 1) % 20_000 === 0) note(`${i + 1} inputs, ${wrong.length} wrong`);
  }
  for (const engine of Object.values(engines)) await engine.close();
  for (const [name, { accepted, refused }] of counts) note(`  ${name}: ${accepted} accepted, ${refused} refused`);
  const sum = (key: 'accepted' | 'refused') => [...counts.values()].reduce((total, one) => total + one[key], 0);
  return { inputs, accepted: sum('accepted'), refused: sum('refused'), wrong };
}

/** Ends the process with 1 when a decoder throws or accepts what it must not. The last line is JSON. */
export async function main(args: readonly string[]): Promise<void> {
  const options = { inputs: { type: 'string', default: '200000' }, seed: { type: 'string', default: 'fuzz' } } as const;
  const { values } = parseArgs({ args: [...args], options });
  console.log(`seed ${values.seed}`);
  const { wrong, ...counts } = await fuzz(values.seed, Number(values.inputs), (line) => console.log(line));
  for (const line of wrong.slice(0, 20)) console.log(`WRONG ${line}`);
  console.log(JSON.stringify({ seed: values.seed, ...counts, wrong: wrong.length }));
  if (wrong.length > 0) process.exitCode = 1;
}
