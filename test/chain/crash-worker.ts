// Owns the process that damage.test.ts kills: it writes blocks as fast as it can and prints each height once it is committed.
// With --wait it starts at the first byte of its input, so that a campaign can load the next one while one runs.

import { once } from 'node:events';
import { alice, mine, signed, testChain } from './support.ts';

const directory = process.argv[2] ?? '';
if (process.argv.includes('--wait')) {
  await once(process.stdin, 'data');
  process.stdin.destroy();
}
const { chain } = await testChain({ directory, create: true });
for (;;) {
  const { number } = chain.head().header;
  await mine(chain, [signed(alice, number, { value: 1n, maxFeePerGas: 10n ** 10n })]);
  process.stdout.write(`${number + 1}\n`);
}
