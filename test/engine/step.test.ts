// A whole training step, forward to AdamW, on every backend: the oracle keeps each tensor apart, so this also holds the
// memory plan and the reuse of packed operands to account.

import test from 'ava';
import { sha256 } from '../../base/hash.ts';
import { toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { prng } from '../../base/prng.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import type { NumericProfile } from '../../engine/profile.ts';
import { decodeProgram, encodeProgram } from '../../engine/program.ts';
import { unwrap } from '../../base/fault.ts';
import { INPUTS, buildTrainProgram, fillConstants } from '../../trainer/train-program.ts';
import { fastBackends } from './backends.ts';

const CONFIG = { vocab: 50, dim: 32, layers: 2, heads: 4, kvHeads: 2, ffn: 48, context: 20, ropeTheta: 10_000 };
const SHAPE = { batch: 2, seq: 20 };
const STEPS = 2;

const scalar = await createExecutor({ backend: 'scalar' });
const backends = await fastBackends();
test.after.always(async () => {
  for (const backend of backends) await backend.close();
});

/** Hashes of the state after each step. */
function train(executor: Executor, profile: NumericProfile = 'i8'): readonly string[] {
  const program = unwrap(decodeProgram(encodeProgram(buildTrainProgram(CONFIG, { ...SHAPE, profile }))));
  const loaded = executor.load(program);
  const random = prng('train step');
  for (const { name, role } of program.tensors) {
    if (role !== 'state' || name.startsWith('m.') || name.startsWith('v.')) continue;
    const view = loaded.view(name);
    for (let i = 0; i < view.length; i++)
      view[i] = (random.u32() / 2 ** 31 - 1) * 0.3 + (name.includes('norm') ? 1 : 0);
  }
  fillConstants(loaded, CONFIG, SHAPE);
  const roots: string[] = [];
  let [power1, power2] = [1, 1];
  for (let step = 0; step < STEPS; step++) {
    for (const name of [INPUTS.tokens, INPUTS.targets]) {
      const view = loaded.view(name);
      for (let i = 0; i < view.length; i++) view[i] = random.below(CONFIG.vocab);
    }
    [power1, power2] = [power1 * 0.9, power2 * 0.95];
    loaded.view(INPUTS.hyper).set([1e-2, 0.9, 0.95, 1e-8, 0.1, 1 - power1, 1 - power2, 1]);
    loaded.view(INPUTS.seed).set([step, 77]);
    const outcome = loaded.run();
    if (!outcome.ok) throw new Error(`${executor.description}: ${JSON.stringify(outcome)}`);
    roots.push(toHex(sha256(loaded.stateBytes())));
  }
  loaded.close();
  return roots;
}

test('training steps leave the same state on the oracle and on every backend, level and thread count', (t) => {
  const wanted = train(scalar);
  t.is(new Set(wanted).size, STEPS);
  for (const backend of backends) t.deepEqual(train(backend), wanted, backend.description);
});

test("training steps of profile bf16x leave the oracle's state on every backend, and not that of i8", (t) => {
  const wanted = train(scalar, 'bf16x');
  t.is(new Set(wanted).size, STEPS);
  t.notDeepEqual(wanted, train(present(backends[0], 'backend')));
  for (const backend of backends) t.deepEqual(train(backend, 'bf16x'), wanted, backend.description);
});
