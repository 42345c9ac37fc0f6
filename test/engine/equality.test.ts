// Equality of every backend with the scalar oracle, instruction by instruction.

import test from 'ava';
import { createExecutor } from '../../engine/executor.ts';
import { OP_NAMES } from '../../engine/instruction.ts';
import { fastBackends } from './backends.ts';
import { caseOf, difference, runCase } from './cases.ts';

const CASES = Number(process.env.ENGINE_CASES ?? 8);
const SEED = process.env.ENGINE_SEED ?? 'equality';

const scalar = await createExecutor({ backend: 'scalar' });
const backends = await fastBackends();

test.after.always(async () => {
  for (const backend of backends) await backend.close();
});

for (const op of OP_NAMES) {
  test(`${op} gives the oracle's bits on every backend, level and thread count`, (t) => {
    let refused = 0;
    for (let i = 0; i < CASES; i++) {
      const one = caseOf(op, `${SEED} ${i}`);
      const wanted = runCase(scalar, one);
      if (!wanted.outcome.ok) refused++;
      for (const backend of backends) {
        t.is(difference(wanted, runCase(backend, one)), null, `${backend.description}, seed "${SEED} ${i}"`);
      }
    }
    t.true(refused < CASES || CASES === 0, 'some cases must run to the end');
    t.log(`${CASES} shapes and values x ${backends.length} backends, seed ${SEED}, ${refused} refused alike`);
  });
}
