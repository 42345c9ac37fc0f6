// Owns what a program means apart from how it runs: which value every output and every state tensor ends with, as an
// expression over inputs and old state. Two programs with one meaning give equal bits on every backend, because an
// instruction's bits depend on its operands alone (docs/protocol/kernel-spec.md, T3).

import { present } from '../base/check.ts';
import type { ProgramParts, Role, Tensor } from './program.ts';

/** Numbers of expressions: equal expressions, and only they, have one number. Shared by the programs that are compared. */
class Expressions {
  readonly #numbers = new Map<string, number>();

  number(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#numbers.set(text, this.#numbers.size);
    return this.#numbers.size - 1;
  }
}

type Meaning = Readonly<{ state: readonly string[]; outputs: readonly string[]; computed: ReadonlySet<number> }>;
type Declared = Omit<Tensor, 'offset'>;

const declaration = ({ name, dtype, shape, role }: Declared): string => `${role} ${name} ${dtype} [${shape}]`;

function meaningOf({ tensors, instructions }: ProgramParts, expressions: Expressions): Meaning {
  const values = new Map<number, number>();
  const numberOf = (id: number): number => {
    const known = values.get(id);
    return known ?? expressions.number(declaration(present(tensors[id], 'tensor')));
  };
  const computed = new Set<number>();
  for (const { op, inputs, outputs, attrs } of instructions) {
    const names = Object.keys(attrs).sort();
    const head = `${op} ${names.map((name) => `${name}=${attrs[name]}`)} (${inputs.map(numberOf)})`;
    const written = outputs.map((id, i) => {
      return [id, expressions.number(`${head} ${i} [${tensors[id]?.shape}]`)] as const;
    });
    for (const [id, value] of written) {
      values.set(id, value);
      computed.add(value);
    }
  }
  const ends = (role: Role): string[] =>
    tensors.filter((tensor) => tensor.role === role).map((tensor) => `${declaration(tensor)} = ${numberOf(tensor.id)}`);
  return { state: ends('state'), outputs: ends('output'), computed };
}

function firstDifference(a: readonly string[], b: readonly string[]): string | null {
  const at = a.length === b.length ? a.findIndex((line, i) => line !== b[i]) : Math.min(a.length, b.length);
  if (at < 0) return null;
  const named = (line: string | undefined) => line?.split(' = ')[0] ?? 'nothing';
  return named(a[at]) === named(b[at]) ? `${named(a[at])} has another value` : `${named(a[at])} is ${named(b[at])}`;
}

/**
 * Null when both programs have the same state and outputs in the same order, end with the same values in them, and compute
 * the same set of values on the way, so that one refuses its numbers exactly when the other does. Else what differs first.
 */
export function meaningDifference(canonical: ProgramParts, plan: ProgramParts): string | null {
  const expressions = new Expressions();
  const [wanted, got] = [meaningOf(canonical, expressions), meaningOf(plan, expressions)];
  const ends = firstDifference(wanted.state, got.state) ?? firstDifference(wanted.outputs, got.outputs);
  if (ends !== null) return ends;
  const same = wanted.computed.size === got.computed.size && [...wanted.computed].every((v) => got.computed.has(v));
  return same ? null : 'another set of values is computed on the way';
}
