// Owns the proof that conformance vectors bite: kernels with one reduction reordered, one multiply-add fused, or one
// rounding changed are built and must fail them. `npm run test:engine-mutations`; ends with 1 if one survives.

import { readFileSync } from 'node:fs';
import { toHex } from '../../base/bytes.ts';
import { sha256 } from '../../base/hash.ts';
import type { Executor } from '../../engine/executor.ts';
import { type Op, OP_NAMES } from '../../engine/instruction.ts';
import { runCase } from './cases.ts';
import { type Edit, buildVariant } from './variant.ts';
import { type VectorFile, caseOfVector } from './vectors.ts';

type Mutation = Readonly<{ name: string; what: string; edit: Edit }>;

const MUTATIONS: readonly Mutation[] = [
  {
    name: 'reversed-tree',
    what: 'the halving tree of R1 adds its neighbours first',
    edit: {
      file: 'kernel.h',
      from: 'a[i] = a[i] + a[i + width];',
      to: 'a[i] = a[2 * i] + a[2 * i + 1];',
    },
  },
  {
    name: 'descending-positions',
    what: 'embedGrad adds the tokens of a row from the last to the first',
    edit: {
      file: 'rows.c',
      from: 'for (int64_t t = 0; t < T; t++) {\n    int64_t id = ids[t];',
      to: 'for (int64_t t = T - 1; t >= 0; t--) {\n    int64_t id = ids[t];',
    },
  },
  {
    name: 'fused-moment',
    what: 'the second moment of AdamW is a fused multiply-add',
    edit: {
      file: 'loss.c',
      from: 'float second = b2 * v[i] + c2 * (grad * grad);',
      to: 'float second = (float)((double)b2 * v[i] + (double)(c2 * (grad * grad)));',
    },
  },
  {
    name: 'fused-rope',
    what: 'one product of rope is fused into its sum',
    edit: {
      file: 'rows.c',
      from: 'to_b[i] = b[i] * cosine[i] + a[i] * s;',
      to: 'to_b[i] = (float)((double)b[i] * cosine[i] + (double)(a[i] * s));',
    },
  },
  {
    name: 'fused-exp',
    what: 'the last step of the exp polynomial is a fused multiply-add',
    edit: {
      file: 'kernel.h',
      from: 'p = (p * (r * r) + r) + 1.0f;',
      to: 'p = (float)((double)p * (r * r) + r) + 1.0f;',
    },
  },
  {
    name: 'descending-depth',
    what: 'linearBf16 and its gradients add their products from the last to the first',
    edit: {
      file: 'linear-bf16.c',
      from: 'for (int64_t k = 0; k < depth; k++) {\n    vec right[PANEL_B / LANES];',
      to: 'for (int64_t k = depth - 1; k >= 0; k--) {\n    vec right[PANEL_B / LANES];',
    },
  },
  {
    name: 'descending-attention',
    what: 'products of attention and its gradient add their terms from the last to the first',
    edit: {
      file: 'attention.c',
      from: 'for (int64_t k = from; k < to; k++, a += k_step, b += ldb) {',
      to: 'a += (to - from - 1) * k_step, b += (to - from - 1) * ldb;\n  for (int64_t k = from; k < to; k++, a -= k_step, b -= ldb) {',
    },
  },
  {
    name: 'half-up-rounding',
    what: 'bf16 operands round ties up instead of to even',
    edit: { file: 'kernel.h', from: '0x7fffu + (((uint32_t)b >> 16) & 1u)', to: '0x8000u' },
  },
];

const folder = new URL('../../../test/vectors/engine/', import.meta.url);
const vectors = OP_NAMES.map((op) => JSON.parse(readFileSync(new URL(`${op}.json`, folder), 'utf8')) as VectorFile);

/** Instructions whose vectors an executor fails. */
function failedBy(executor: Executor): Op[] {
  return vectors
    .filter(({ instruction, cases }) =>
      cases.some((vector) => {
        const { outcome, outputs } = runCase(executor, caseOfVector(instruction, vector));
        return (
          !outcome.ok ||
          vector.outputs.some(({ name, sha256: wanted }) => {
            const bytes = outputs[name];
            return bytes === undefined || toHex(sha256(bytes)).slice(2) !== wanted;
          })
        );
      }),
    )
    .map(({ instruction }) => instruction);
}

async function tryMutation(name: string, what: string, edits: readonly Edit[], wasm: boolean): Promise<number> {
  const variant = await buildVariant(name, { edits }, wasm);
  const executors = variant.native.nativeLevels().map((level) => variant.native.createNativeExecutor(1, level));
  if (wasm) executors.push(await variant.wasm.createWasmExecutor(1, 'mutant'));
  let caught = 0;
  for (const executor of executors) {
    if (typeof executor === 'string') throw new Error(executor);
    const ops = failedBy(executor);
    if (ops.length > 0) caught++;
    console.log(
      `  ${name} on ${executor.description}: ${ops.length > 0 ? `caught by ${ops.join(', ')}` : 'no vector fails'}`,
    );
    await executor.close();
  }
  console.log(`${name}: ${what}: caught on ${caught} of ${executors.length}`);
  variant.remove();
  return executors.length - caught;
}

/** Arguments: names of mutations, all when none; with 'wasm' the WebAssembly kernels are mutated too (seconds each). */
export async function main(args: readonly string[]): Promise<void> {
  const wasm = args.includes('wasm');
  const unchanged = await buildVariant('unchanged', { edits: [] }, wasm);
  const control = unchanged.native.nativeLevels().map((level) => unchanged.native.createNativeExecutor(1, level));
  let wrong = 0;
  for (const executor of control) if (typeof executor === 'string' || failedBy(executor).length > 0) wrong++;
  unchanged.remove();
  console.log(`unchanged kernels: ${control.length - wrong} of ${control.length} pass every vector`);
  let survived = 0;
  const named = MUTATIONS.filter(({ name }) => args.includes(name));
  const chosen = named.length > 0 ? named : MUTATIONS;
  for (const { name, what, edit } of chosen) survived += await tryMutation(name, what, [edit], wasm);
  console.log(JSON.stringify({ mutations: chosen.length, survived, controlFailures: wrong }));
  if (survived + wrong > 0) process.exitCode = 1;
}
