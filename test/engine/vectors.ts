// Owns the form of conformance vectors: one instruction with inputs and the outputs that kernelSpec 1 fixes for them.
// Data is hexadecimal, little-endian, row-major. An output named like an input is that tensor, changed in place.

import { check, present } from '../../base/check.ts';
import { sha256 } from '../../base/hash.ts';
import { toHex, utf8 } from '../../base/bytes.ts';
import type { Executor } from '../../engine/executor.ts';
import { OPS, OP_NAMES, type Op } from '../../engine/instruction.ts';
import { type DType, ProgramBuilder } from '../../engine/program.ts';
import { type Case, type Data, caseOf, chosenCase, runCase } from './cases.ts';

type VectorInput = Readonly<{ name: string; dtype: DType; shape: readonly number[]; data: string }>;
type VectorOutput = Readonly<{ name: string; shape: readonly number[]; sha256: string; data: string }>;
export type Vector = Readonly<{
  attributes: Readonly<Record<string, number>>;
  inputs: readonly VectorInput[];
  outputs: readonly VectorOutput[];
}>;
export type VectorFile = Readonly<{ instruction: Op; kernelSpec: 1; cases: readonly Vector[] }>;

const VECTORS_PER_OP = 4;
const MOST_ELEMENTS = 700;

const hex = (bytes: Uint8Array): string => toHex(bytes).slice(2);
const bytesOf = (view: Float32Array | Int32Array) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** The vectors of an instruction: the first few random cases that are small and run to the end, and the chosen one. */
export function makeVectors(scalar: Executor, op: Op): VectorFile {
  const cases: Vector[] = [];
  for (let i = 0; cases.length < VECTORS_PER_OP; i++) {
    const one = caseOf(op, `vector ${i}`);
    const elements = Object.values(one.data).reduce((sum, view) => sum + view.length, 0);
    if (elements > (op === 'gradNorm' ? 9000 : MOST_ELEMENTS)) continue;
    const vector = vectorOf(scalar, one);
    if (vector !== null) cases.push(vector);
  }
  const chosen = chosenCase(op);
  if (chosen !== null) cases.push(present(vectorOf(scalar, chosen), 'the chosen case runs'));
  return { instruction: op, kernelSpec: 1, cases };
}

/** A case with the outputs it has; null when it is refused. */
function vectorOf(scalar: Executor, one: Case): Vector | null {
  const { outcome, outputs } = runCase(scalar, one);
  if (!outcome.ok) return null;
  const { tensors, instructions } = one.program;
  const { inputs, outputs: written, attrs } = present(instructions[0], 'instruction');
  const tensor = (id: number) => present(tensors[id], 'tensor');
  return {
    attributes: attrs,
    inputs: inputs.map(tensor).map(({ name, dtype, shape }) => ({
      name,
      dtype,
      shape,
      data: hex(bytesOf(present(one.data[name], name))),
    })),
    outputs: written.map(tensor).map(({ name, shape }) => {
      const bytes = present(outputs[name], name);
      return { name, shape, sha256: hex(sha256(bytes)), data: hex(bytes) };
    }),
  };
}

/**
 * Digest of all vector files in the order of the table: what kernelSpec.hash commits to. Spaces and the order of keys in a
 * file do not matter; every attribute, name, shape and bit does.
 */
export function vectorsDigest(fileOf: (op: Op) => VectorFile): string {
  const number = (value: number) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    return hex(new Uint8Array(view.buffer));
  };
  const tensor = (one: VectorInput | VectorOutput) =>
    [one.name, 'dtype' in one ? one.dtype : 'f32', one.shape.join('x'), one.data].join(' ');
  const lines = OP_NAMES.flatMap((op) =>
    fileOf(op).cases.flatMap(({ attributes, inputs, outputs }) => [
      op,
      ...Object.keys(attributes)
        .sort()
        .map((name) => `${name}=${number(attributes[name] ?? 0)}`),
      ...inputs.map((one) => `in ${tensor(one)}`),
      ...outputs.map((one) => `out ${tensor(one)}`),
    ]),
  );
  return toHex(sha256(utf8(lines.join('\n'))));
}

/** The vector as a program with data. */
export function caseOfVector(op: Op, { attributes, inputs, outputs }: Vector): Case {
  check(OPS[op] !== undefined, `vectors: no instruction ${op}`);
  const builder = new ProgramBuilder();
  const data: Record<string, Data[string]> = {};
  const written = new Set(outputs.map(({ name }) => name));
  const ids = new Map<string, number>();
  for (const { name, dtype, shape, data: text } of inputs) {
    ids.set(name, builder.tensor(name, dtype, shape, written.has(name) ? 'state' : 'input'));
    const bytes = new Uint8Array(Buffer.from(text, 'hex'));
    data[name] = dtype === 'f32' ? new Float32Array(bytes.buffer) : new Int32Array(bytes.buffer);
  }
  for (const { name, shape } of outputs) {
    if (!ids.has(name)) ids.set(name, builder.tensor(name, 'f32', shape, 'output'));
  }
  const idOf = ({ name }: Readonly<{ name: string }>) => present(ids.get(name), name);
  builder.emit(op, inputs.map(idOf), outputs.map(idOf), attributes);
  return { op, program: builder.finish(`vector-${op}`), data };
}
