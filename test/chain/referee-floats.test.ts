// Owns the test that the contract's soft-float has the engine's bits; the whole campaign is the command in referee-floats.ts.

import test from 'ava';
import { openRefereeWorld } from './referee-world.ts';
import { compareFloats } from './referee-floats.ts';

test('soft-float in the EVM gives the bits of the engine on edges and random numbers', async (t) => {
  const { compared, differences, gas } = await compareFloats(await openRefereeWorld(), 6_000, 'soft-float sample');
  t.deepEqual(differences.slice(0, 5), []);
  t.true(compared > 50_000);
  t.log(`${compared} operations, gas each: ${JSON.stringify(gas)}`);
});
