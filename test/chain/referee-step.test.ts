// Owns the test that a whole training step can be disputed: every tensor of every instruction, with the values a step gives
// them, has a word judged as it is and with a bit flipped.

import test from 'ava';
import { present } from '../../base/check.ts';
import { STATE_LEAF_BYTES } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import type { Tensor } from '../../engine/program.ts';
import { SCALAR_OPS, type Value } from '../../engine/scalar-ops.ts';
import type { ModelConfig } from '../../trainer/model.ts';
import type { TensorRef } from '../../trainer/referee-frame.ts';
import { buildTrainProgram, fillConstants, INPUTS } from '../../trainer/train-program.ts';
import { bothPieces, judgeBoth, judgedOf } from './referee-pieces.ts';
import { openRefereeWorld } from './referee-world.ts';

const CONFIG: ModelConfig = {
  vocab: 40,
  dim: 24,
  layers: 1,
  heads: 4,
  kvHeads: 2,
  ffn: 20,
  context: 12,
  ropeTheta: 10_000,
};
const SHAPE = { batch: 2, seq: 11 };

test('in a whole training step each tensor a dispute commits has its piece', async (t) => {
  const random = prng('step');
  const program = buildTrainProgram(CONFIG, SHAPE);
  const filled = ({ name, dtype, shape, role }: Tensor): Value => {
    const length = shape.reduce((a, b) => a * b, 1);
    if (dtype === 'i32') return { shape, data: Int32Array.from({ length }, () => random.below(CONFIG.vocab)) };
    const scale = role !== 'state' ? 0 : name.startsWith('v.') ? 1e-4 : name.startsWith('m.') ? 0.01 : 0.4;
    const unit = () => (random.u32() / 2 ** 32) * 2 - 1;
    return {
      shape,
      data: Float32Array.from({ length }, () => (name.startsWith('v.') ? Math.abs(unit()) : unit()) * scale),
    };
  };
  const values = program.tensors.map(filled);
  const view = (name: string) =>
    present(values[program.tensors.findIndex((tensor) => tensor.name === name)], name).data;
  fillConstants({ view }, CONFIG, SHAPE);
  view(INPUTS.targets)[3] = -1;
  view(INPUTS.hyper).set([1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 1]);

  const world = await openRefereeWorld();
  let most = 0;
  let judgedWords = 0;
  for (const instruction of program.instructions) {
    const copy = (id: number): Value => {
      const { shape, data } = present(values[id], 'tensor');
      return { shape, data: data.slice() };
    };
    const before = instruction.inputs.map(copy);
    const live = (ids: readonly number[]) => ids.map((id) => present(values[id], 'tensor'));
    SCALAR_OPS[instruction.op](live(instruction.inputs), live(instruction.outputs), instruction.attrs);
    const home = (ref: TensorRef) => {
      if (ref.kind === 'ledger') return null;
      const id = present((ref.kind === 'input' ? instruction.inputs : instruction.outputs)[ref.index], 'operand');
      const { role, name, offset } = present(program.tensors[id], 'tensor');
      return role === 'state' || name.startsWith('grad.') ? { before: offset, leafBytes: STATE_LEAF_BYTES } : null;
    };
    const judged = judgedOf(instruction, before, instruction.outputs.map(copy), home);
    for (const { ref } of judged.dispute.tensors) {
      const element = random.below(judged.of(ref).words.length);
      const { wrong, gas } = await judgeBoth(world, bothPieces(judged, ref, element, random.below(32)));
      t.is(wrong, null, `${instruction.op} ${JSON.stringify(ref)} ${element}`);
      most = Math.max(most, gas);
      judgedWords += 1;
    }
  }
  t.log(`${program.instructions.length} instructions, ${judgedWords} tensors, most gas ${most}`);
});
