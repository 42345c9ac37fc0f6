// Owns the gas table of docs/protocol/referee.md: every part at the sizes of a preset's training step, its tensors where a
// claim has them. Run as `node build/test/chain/referee-gas.js [PRESET] [BATCH] [WORDS]`; fails above five million gas.

import { check, present } from '../../base/check.ts';
import { STATE_LEAF_BYTES } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import type { Instruction, Op } from '../../engine/instruction.ts';
import { ProgramBuilder, type Tensor, type TensorProgram } from '../../engine/program.ts';
import type { Value } from '../../engine/scalar-ops.ts';
import { createWasmExecutor } from '../../engine/wasm-executor.ts';
import { type PresetName, preset } from '../../trainer/presets.ts';
import type { TensorRef } from '../../trainer/referee-frame.ts';
import { buildTrainProgram } from '../../trainer/train-program.ts';
import { bothPieces, judgeBoth, judgedOf } from './referee-pieces.ts';
import { openRefereeWorld } from './referee-world.ts';

const MOST_GAS = 5_000_000;
const VOCAB = 1_024;
const random = prng('referee gas');

/** Values as a training step has them: ids in range, statistics positive, everything else with all its bits in use. */
function valuesOf(op: Op, k: number, { dtype, shape, role }: Tensor, seq: number): Value {
  const length = shape.reduce((a, b) => a * b, 1);
  const unit = () => random.u32() / 2 ** 32;
  if (dtype === 'i32') {
    const below = op === 'rope' ? seq : op.startsWith('linear') ? 2 ** 31 : VOCAB;
    return { shape, data: Int32Array.from({ length }, () => random.below(below)) };
  }
  const positive = (op === 'adamW' && (k === 2 || k > 3)) || (op.startsWith('rmsNormGrad') && length === shape[0]);
  const size = role === 'input' || positive ? 1 : 3;
  return { shape, data: Float32Array.from({ length }, () => (positive ? unit() + 0.01 : (2 * unit() - 1) * size)) };
}

/** One instruction of the program by itself, run by the WebAssembly engine on random values. */
async function runAlone(program: TensorProgram, { op, attrs, inputs, outputs }: Instruction, seq: number) {
  const builder = new ProgramBuilder();
  const ids = new Map<number, number>();
  const tensor = (id: number, after: boolean): number => {
    const known = ids.get(id);
    if (known !== undefined) return known;
    const { name, dtype, shape } = present(program.tensors[id], 'tensor');
    const made = builder.tensor(name, dtype, shape, after ? 'output' : outputs.includes(id) ? 'state' : 'input');
    ids.set(id, made);
    return made;
  };
  const given = inputs.map((id) => tensor(id, false));
  const made = outputs.map((id) => tensor(id, true));
  builder.emit(op, given, made, attrs);
  const alone = builder.finish(op);
  const executor = await createWasmExecutor(1, 'gas of pieces');
  const loaded = executor.load(alone);
  const before = given.map((id, k) => valuesOf(op, k, present(alone.tensors[id], 'tensor'), seq));
  before.forEach((value, k) => {
    loaded.view(present(alone.tensors[present(given[k], 'id')], 'tensor').name).set(value.data);
  });
  const outcome = loaded.run();
  check(outcome.ok, `${op} runs`);
  const after = made.map((id): Value => {
    const { name, shape } = present(alone.tensors[id], 'tensor');
    return { shape, data: loaded.view(name).slice() };
  });
  loaded.close();
  await executor.close();
  return { instruction: { op, attrs, inputs: given, outputs: made }, before, after };
}

const name = process.argv[2] ?? '3.4m';
const batch = Number(process.argv[3] ?? 8);
const words = Number(process.argv[4] ?? 3);
const config = preset(name as PresetName, VOCAB);
const program = buildTrainProgram(config, { batch, seq: config.context });
const world = await openRefereeWorld();
const most = new Map<string, Readonly<{ gas: number; bytes: number }>>();
const seen = new Set<string>();
for (const instruction of program.instructions) {
  const tensorOf = (id: number) => present(program.tensors[id], 'tensor');
  const shapes = [...instruction.inputs, ...instruction.outputs].map((id) => tensorOf(id).shape);
  const kind = JSON.stringify([instruction.op, shapes]);
  if (seen.has(kind)) continue;
  seen.add(kind);
  const ran = await runAlone(program, instruction, config.context);
  const home = (ref: TensorRef) => {
    if (ref.kind === 'ledger') return null;
    const id = present((ref.kind === 'input' ? instruction.inputs : instruction.outputs)[ref.index], 'id');
    const { role, name: tensor } = tensorOf(id);
    const committed = role === 'state' || tensor.startsWith('grad.');
    return committed ? { before: 64 * random.below(2_000), leafBytes: STATE_LEAF_BYTES } : null;
  };
  const judged = judgedOf(ran.instruction, ran.before, ran.after, home);
  for (const { proves, select } of judged.dispute.templates) {
    const length = judged.of(proves).words.length;
    // Among random words the last one, which has the longest sums behind it.
    for (let k = 0; k < 40 * words; k++) {
      const element = k === 0 ? length - 1 : random.below(length);
      if (select(element, 0, 1) === null) continue;
      const pieces = bothPieces(judged, proves, element, random.below(32));
      const { wrong, gas } = await judgeBoth(world, pieces);
      check(wrong === null, `judged right: ${JSON.stringify(wrong)}`);
      const part = `${instruction.op}: ${pieces[0].name}`;
      const bytes = pieces[0].witness.reduce((sum, { leaf }) => sum + leaf.length / 2 - 1, 0);
      const old = most.get(part);
      if (old === undefined || gas > old.gas) most.set(part, { gas, bytes });
      if (k + 1 >= words) break;
    }
  }
}
for (const [part, { gas, bytes }] of most) process.stdout.write(`| ${part} | ${gas} | ${bytes} |\n`);
const worst = Math.max(...[...most.values()].map(({ gas }) => gas));
process.stdout.write(`${JSON.stringify({ preset: name, batch, parts: most.size, worst })}\n`);
process.exitCode = worst <= MOST_GAS ? 0 : 1;
