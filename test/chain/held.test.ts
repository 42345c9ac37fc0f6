// Blocks a node catching up takes in and writes together: read like any other at once, on the disk all at once or not at all.

import test from 'ava';
import { cp, rm } from 'node:fs/promises';
import { unwrap } from '../../base/fault.ts';
import type { Chain } from '../../chain/api.ts';
import { auditBlocks, auditState } from '../../chain/audit.ts';
import { openChain } from '../../chain/chain.ts';
import { alice, bob, build, certificateOf, mine, signed, temporaryFolder, testChain } from './support.ts';

async function hold(chain: Chain, nonce: number): Promise<void> {
  const candidate = await build(chain, [signed(alice, nonce, { value: 5n })]);
  await chain.commit(candidate, certificateOf(candidate.block.header.number), { isHeld: true });
}

/** The head of a copy of the database: what a crash would leave. */
async function headOnDisk(made: Awaited<ReturnType<typeof testChain>>): Promise<number> {
  const directory = await temporaryFolder();
  await cp(made.directory, directory, { recursive: true });
  await rm(`${directory}/LOCK`, { force: true });
  const copy = unwrap(await openChain({ ...made.options, directory, create: false }));
  const { number } = copy.head().header;
  unwrap(await auditBlocks(copy));
  await copy.close();
  await rm(directory, { recursive: true, force: true });
  return number;
}

test.serial(
  'held blocks are read at once, told of once written, and lost together by a crash before that',
  async (t) => {
    const made = await testChain();
    t.teardown(made.dispose);
    const { chain } = made;
    const heard: number[] = [];
    chain.onHead(({ block }) => heard.push(block.header.number));
    await mine(chain, [signed(alice, 0, { value: 5n })]);
    const before = await unwrap(chain.state(1)).balance(bob.address);
    for (let nonce = 1; nonce <= 4; nonce++) await hold(chain, nonce);
    t.is(chain.head().header.number, 5);
    t.is((await chain.receipts(3))?.length, 1);
    t.is(await unwrap(chain.state(5)).balance(bob.address), before + 20n);
    t.deepEqual(heard, [1]);
    t.is(await headOnDisk(made), 1);
    await chain.settle();
    t.deepEqual(heard, [1, 2, 3, 4, 5]);
    t.is(await headOnDisk(made), 5);
    t.is(await unwrap(chain.state(3)).balance(bob.address), before + 10n);
  },
);

test.serial('a block that is not held takes the held ones to the disk with it, and so does closing', async (t) => {
  const made = await testChain();
  t.teardown(() => rm(made.directory, { recursive: true, force: true }));
  const { chain } = made;
  await hold(chain, 0);
  await hold(chain, 1);
  await mine(chain, [signed(alice, 2)]);
  t.is(await headOnDisk(made), 3);
  await hold(chain, 3);
  await chain.close();
  const again = unwrap(await openChain({ ...made.options, create: false }));
  t.is(again.head().header.number, 4);
  t.is(unwrap(await auditBlocks(again)), 5);
  const { stateRoot } = again.head().header;
  await again.close();
  unwrap(await auditState(made.directory, stateRoot));
});

test.serial('reads that scan while blocks are held find them', async (t) => {
  const made = await testChain();
  t.teardown(made.dispose);
  const { chain } = made;
  for (let nonce = 0; nonce < 3; nonce++) await hold(chain, nonce);
  const page = unwrap(await chain.addressHistory(bob.address, { limit: 10 }));
  t.deepEqual(
    page.entries.map(({ blockNumber }) => blockNumber),
    [3, 2, 1],
  );
  t.is(await headOnDisk(made), 3);
});
