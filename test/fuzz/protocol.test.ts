// A sample of the fuzz of the learning protocol (run-fuzz-protocol.ts): decoders and contracts under bad input from a fixed seed.

import test from 'ava';
import { fuzzGames, fuzzLife, noCounts } from '../chain/contract-fuzz.ts';
import { fuzzWire } from './wire-fuzz.ts';

const SEED = process.env.FUZZ_SEED ?? 'suite';
const INPUTS = 3_000;

test.serial(
  'every decoder of the protocol refuses bad bytes in words and takes no memory for what they state',
  async (t) => {
    const { accepted, refused, mostBytes, mostBytesBy, wrong } = await fuzzWire(SEED, INPUTS);
    t.deepEqual(wrong, [], `seed ${SEED}`);
    t.true(accepted > INPUTS / 50 && refused > INPUTS / 2);
    t.log(
      `${INPUTS} inputs: ${accepted} accepted, ${refused} refused, most memory ${mostBytes} bytes (${mostBytesBy})`,
    );
  },
);

test.serial(
  'bad calls of any sender to any system contract, in every phase, wrong nobody who was honest',
  async (t) => {
    const counts = noCounts();
    await fuzzLife(SEED, 4, true, counts);
    t.true(counts.calls > 300 && counts.kept > 30 && counts.succeeded > 30 && counts.functions.size > 50);
    t.true(counts.refusals.size > 8, [...counts.refusals.keys()].join(' '));
    t.log(`${counts.calls} bad calls, ${counts.kept} left in place, most gas ${counts.mostGas} (${counts.mostGasBy})`);
  },
);

test.serial('bad moves between those of a challenge neither slash a true claim nor save a false one', async (t) => {
  const counts = noCounts();
  await fuzzGames(SEED, 8, counts);
  t.true(counts.calls > 80);
  t.log(`${counts.calls} bad moves, most gas ${counts.mostGas} (${counts.mostGasBy})`);
});
