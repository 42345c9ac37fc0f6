// A flipped byte anywhere in a database is noticed and named, or changes no answer. `npm run test:flips` tries many.

import { readdir } from 'node:fs/promises';
import test from 'ava';
import { flips, flipWorld } from './flips.ts';

const FLIPS = 16;

test('a flipped byte anywhere in the database is named or changes no answer', async (t) => {
  const world = await flipWorld();
  t.teardown(world.dispose);
  const names = await readdir(world.directory);
  for (const kind of [/\.ldb$/, /\.log$/, /^MANIFEST/, /^CURRENT$/, /^committed-height$/]) {
    t.true(
      names.some((name) => kind.test(name)),
      `the database has ${kind}`,
    );
  }
  for await (const { kind, named, flip, says } of flips(world, FLIPS, 'suite')) {
    t.not(kind, 'silent', `${flip.file} byte ${flip.at}`);
    if (kind === 'refused' || kind === 'found') t.regex(says, /database|block|account|row/);
    if (/^MANIFEST|^CURRENT$/.test(flip.file)) t.true(named, `${flip.file} byte ${flip.at}`);
    // A table or log that the manifest has done with is read by nobody.
    if (/\.ldb$|\.log$/.test(flip.file)) t.true(named || kind === 'harmless', `${flip.file} byte ${flip.at}`);
    if (flip.file === 'committed-height') t.is(kind, 'refused', `byte ${flip.at}`);
  }
});
