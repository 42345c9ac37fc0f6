// `npm run test:fuzz-protocol -- --inputs N --seed S`: bad bytes to every decoder of the learning protocol, bad calls to every
// function of every system contract. The seed replays a failure. Last line: JSON.

import { parseArgs } from 'node:util';
import { fuzzGames, fuzzLife, noCounts } from '../chain/contract-fuzz.ts';
import { fuzzWire } from './wire-fuzz.ts';

/** Bad calls before each call of a life, and calls of a life: about so many make one. */
const EACH = 20;
const CALLS_OF_A_LIFE = 110;

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '200000' },
    calls: { type: 'string', default: '20000' },
    seed: { type: 'string', default: 'protocol' },
  },
});
const { seed } = values;
console.log(`seed ${seed}`);
const wire = await fuzzWire(seed, Number(values.inputs), console.log);
for (const line of wire.wrong.slice(0, 20)) console.log(`WRONG ${line}`);
const counts = noCounts();
const wrong: string[] = [];
// Lives in which crooks' calls stay, lives without, and challenges, in turns.
const lives = Math.max(1, Math.round(Number(values.calls) / (EACH * CALLS_OF_A_LIFE)));
for (let i = 0; i < lives && wrong.length === 0; i++) {
  try {
    await fuzzLife(`${seed} ${i}`, EACH, i % 2 === 0, counts);
    if (i % 4 === 0) await fuzzGames(`${seed} ${i}`, EACH, counts);
  } catch (error) {
    wrong.push(error instanceof Error ? error.message : String(error));
  }
  console.log(`${i + 1} of ${lives} lives, ${counts.calls} bad calls, ${counts.succeeded} of them did something`);
}
for (const line of wrong) console.log(`WRONG ${line}`);
console.log(`refusals: ${JSON.stringify(Object.fromEntries(counts.refusals))}`);
console.log(
  JSON.stringify({
    seed,
    wire: { ...wire, wrong: wire.wrong.length },
    contracts: {
      calls: counts.calls,
      kept: counts.kept,
      succeeded: counts.succeeded,
      functions: counts.functions.size,
      mostGas: counts.mostGas,
      mostGasBy: counts.mostGasBy,
      wrong: wrong.length,
    },
  }),
);
if (wire.wrong.length + wrong.length > 0) process.exitCode = 1;
