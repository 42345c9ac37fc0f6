// Owns the check that a backend computes the oracle's bits on a small fixed program, before it is trusted with any work.

import { equal } from '../base/bytes.ts';
import { prng } from '../base/prng.ts';
import type { Executor } from './executor.ts';
import { ProgramBuilder, type TensorProgram } from './program.ts';
import { createScalarExecutor } from './scalar-executor.ts';

const OUTPUTS = ['y', 'act', 'att', 'dx', 'dw', 'dq'] as const;

/** Matrix products in all three directions, attention both ways, norm and gating: what differs between processors. */
function probe(): TensorProgram {
  const b = new ProgramBuilder();
  // Beyond a tile of every level: 32 lines, 64 values of depth.
  const [T, K] = [36, 72];
  const x = b.tensor('x', 'f32', [T, K], 'input');
  const w = b.tensor('w', 'f32', [K, K], 'input');
  const gain = b.tensor('gain', 'f32', [K], 'input');
  const seed = b.tensor('seed', 'i32', [2], 'input');
  const normed = b.tensor('normed', 'f32', [T, K], 'temp');
  const rstd = b.tensor('rstd', 'f32', [T], 'temp');
  const [y, act, att, dx, dq] = (['y', 'act', 'att', 'dx', 'dq'] as const).map((name) =>
    b.tensor(name, 'f32', [T, K], 'output'),
  ) as [number, number, number, number, number];
  const stats = b.tensor('stats', 'f32', [T, 4], 'temp');
  const dw = b.tensor('dw', 'f32', [K, K], 'output');
  const [dk, dv] = [b.tensor('dk', 'f32', [T, K], 'temp'), b.tensor('dv', 'f32', [T, K], 'temp')];
  const attrs = { batch: 2, seq: 18, heads: 2, kvHeads: 2 };
  b.emit('rmsNorm', [x, gain], [normed, rstd], { eps: 1e-5 });
  b.emit('linear', [normed, w], [y]);
  b.emit('swiglu', [y, x], [act]);
  b.emit('attention', [y, act, x], [att, stats], attrs);
  b.emit('attentionGrad', [act, y, act, x, att, stats], [dq, dk, dv], attrs);
  b.emit('linearGradX', [dq, w, seed], [dx], { tensorId: 1 });
  b.emit('linearGradW', [y, dk, seed], [dw], { tensorId: 2 });
  return b.finish('self-test');
}

function outputsOf(executor: Executor, program: TensorProgram): readonly Uint8Array[] | null {
  const loaded = executor.load(program);
  const random = prng('engine self-test');
  for (const name of ['x', 'w', 'gain']) {
    const view = loaded.view(name);
    for (let i = 0; i < view.length; i++) view[i] = random.u32() / 2 ** 31 - 1;
  }
  loaded.view('seed').set([1, 2]);
  const outcome = loaded.run();
  const outputs = OUTPUTS.map((name) => {
    const view = loaded.view(name);
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
  });
  loaded.close();
  return outcome.ok ? outputs : null;
}

/** True when every output equals the oracle's, bit for bit. */
export function passesSelfTest(executor: Executor): boolean {
  const program = probe();
  const wanted = outputsOf(createScalarExecutor(), program);
  const got = outputsOf(executor, program);
  return wanted !== null && got !== null && wanted.every((bytes, i) => equal(bytes, got[i] ?? new Uint8Array()));
}
