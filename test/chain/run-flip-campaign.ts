// Owns `npm run test:flips -- --flips N --seed S`: flips one byte of a copy of a database so often and counts what came of it.
// A silent flip ends it with exit code 1.

import { parseArgs } from 'node:util';
import { flips, flipWorld } from './flips.ts';

const { values } = parseArgs({
  options: { flips: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } },
});
const count = Number(values.flips);
console.log(`flip campaign: ${count} flips, seed ${values.seed}`);
const world = await flipWorld();
const table = new Map<string, { refused: number; found: number; harmless: number; silent: number; named: number }>();
let done = 0;
try {
  for await (const { kind, named, flip, says } of flips(world, count, values.seed)) {
    const group = flip.file.replace(/\d+/, 'N');
    const row = table.get(group) ?? { refused: 0, found: 0, harmless: 0, silent: 0, named: 0 };
    row[kind]++;
    table.set(group, row);
    const { file, at, mask } = flip;
    if (kind === 'silent') console.log(`SILENT: ${file} byte ${at} xor ${mask}: ${says}`);
    const isData = !/^(LOG|LOCK|committed-height)/.test(file);
    if (isData && named) row.named++;
    if (isData && !named) console.log(`not named at rest: ${file} byte ${at} xor ${mask}: ${kind} ${says}`);
    if (!isData && kind !== 'harmless' && file !== 'committed-height') console.log(`FALSE ALARM: ${file}: ${says}`);
    if (++done % 100 === 0) console.log(`${done} flips`);
  }
} finally {
  await world.dispose();
}
console.table(Object.fromEntries([...table].sort()));
const silent = [...table.values()].reduce((sum, row) => sum + row.silent, 0);
console.log(`${count} flips, ${silent} silent`);
process.exitCode = silent === 0 ? 0 : 1;
