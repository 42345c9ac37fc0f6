// Owns the check of one instruction against its row of the table: counts, dtypes, dimensions, attributes, aliasing.
// Order of use between instructions is program.ts.

import { type Fault, fault } from '../base/fault.ts';
import { type Dims, type Instruction, OPS, type OpRule } from './instruction.ts';
import { MAX_OPERANDS } from './limits.ts';
import type { DType } from './program.ts';

export type Operand = Readonly<{ name: string; dtype: DType; shape: readonly number[] }>;

type Bindings = { dims: Record<string, number>; any: readonly number[] | null };

/** Dimensions bound by the signature, or the Fault 'program/instruction' naming instruction, operand and rule. */
export function bindShapes(
  instruction: Instruction,
  at: number,
  tensors: readonly Operand[],
): Readonly<{ ok: true; dims: Dims }> | Fault {
  const rule = OPS[instruction.op];
  const refuse = (why: string) =>
    fault('program/instruction', `instruction ${at} (${instruction.op}): ${why}`, { instruction: at });
  const counted = countOperands(instruction, rule);
  if (counted !== null) return refuse(counted);
  const bindings: Bindings = { dims: {}, any: null };
  for (const [list, signatures, side] of [
    [instruction.inputs, rule.inputs, 'input'],
    [instruction.outputs, rule.outputs, 'output'],
  ] as const) {
    for (const [i, id] of list.entries()) {
      const tensor = tensors[id];
      if (tensor === undefined) return refuse(`${side} ${i} names tensor ${id}, which does not exist`);
      const why = bindOne(bindings, signatures[i] ?? 'f32 ...', tensor);
      if (why !== null) return refuse(`${side} ${i} (${tensor.name}) ${why}`);
    }
  }
  const why =
    aliasing(instruction, rule) ?? attributes(instruction, rule) ?? rule.extra?.(bindings.dims, instruction.attrs);
  return why == null ? { ok: true, dims: bindings.dims } : refuse(why);
}

function countOperands({ inputs, outputs }: Instruction, rule: OpRule): string | null {
  if (outputs.length !== rule.outputs.length) return `has ${outputs.length} outputs, needs ${rule.outputs.length}`;
  if (rule.inputs[0] === 'f32 ...') {
    return inputs.length >= 1 && inputs.length <= MAX_OPERANDS ? null : `needs 1 to ${MAX_OPERANDS} inputs`;
  }
  return inputs.length === rule.inputs.length ? null : `has ${inputs.length} inputs, needs ${rule.inputs.length}`;
}

function bindOne(bindings: Bindings, signature: string, tensor: Operand): string | null {
  const [dtype, ...dims] = signature.split(' ');
  if (tensor.dtype !== dtype) return `is ${tensor.dtype}, needs ${dtype}`;
  if (dims[0] === '...') return null;
  const text = `[${tensor.shape.join(',')}]`;
  if (dims[0] === '*') {
    bindings.any ??= tensor.shape;
    return sameShape(bindings.any, tensor.shape) ? null : `is ${text}, needs [${bindings.any.join(',')}]`;
  }
  if (dims.length !== tensor.shape.length) return `is ${text}, needs ${dims.length} dimensions [${dims.join(',')}]`;
  for (const [i, name] of dims.entries()) {
    const length = tensor.shape[i] ?? 0;
    if (!/^\d/.test(name)) bindings.dims[name] ??= length;
    const wanted = bindings.dims[name] ?? Number(name);
    if (length !== wanted) return `is ${text}, needs ${name} = ${wanted} in dimension ${i}`;
  }
  return null;
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, i) => length === b[i]);
}

/** An output may share its tensor with an input only where the table says so: kernels assume disjoint operands. */
function aliasing({ inputs, outputs }: Instruction, rule: OpRule): string | null {
  for (const [o, id] of outputs.entries()) {
    if (outputs.indexOf(id) !== o) return `writes tensor ${id} twice`;
    const allowed = rule.inPlace?.[o];
    if (allowed?.must === true && !allowed.inputs.some((i) => inputs[i] === id)) {
      return `output ${o} must be the tensor of input ${allowed.inputs.join(' or ')}`;
    }
    const alias = inputs.findIndex((input, i) => input === id && !(allowed?.inputs.includes(i) ?? false));
    if (alias >= 0) return `output ${o} may not be the tensor of input ${alias}`;
  }
  return null;
}

function attributes({ attrs }: Instruction, rule: OpRule): string | null {
  for (const name of Object.keys(attrs)) if (!(name in rule.attrs)) return `has unknown attribute ${name}`;
  for (const [name, kind] of Object.entries(rule.attrs)) {
    const value = attrs[name];
    if (value === undefined) return `needs attribute ${name}`;
    if (kind === 'int' && value !== (value | 0)) return `attribute ${name} must be a whole number in i32`;
    if (kind === 'f32' && (!Number.isFinite(value) || Math.fround(value) !== value)) {
      return `attribute ${name} must be a finite f32`;
    }
    if (Object.is(value, -0)) return `attribute ${name} must not be -0`;
  }
  return null;
}
