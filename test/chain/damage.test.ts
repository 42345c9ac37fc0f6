// Owns what must not pass silently: kill -9 while writing, flipped bytes, missing rows, a failing disk, state left over.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { Level } from 'level';
import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { auditBlocks, auditState } from '../../chain/audit.ts';
import { openChain } from '../../chain/chain.ts';
import { accountNodeKey, headerKey, key, metaKey, PREFIX, protect, receiptsKey } from '../../chain/records.ts';
import { openStore } from '../../chain/store.ts';
import { alice, bob, mine, signed, temporaryFolder, testChain } from './support.ts';

async function withRows(
  directory: string,
  change: (db: Level<Uint8Array, Uint8Array>) => Promise<void>,
): Promise<void> {
  const db = new Level<Uint8Array, Uint8Array>(directory, { keyEncoding: 'view', valueEncoding: 'view' });
  await db.open();
  await change(db);
  await db.close();
}

/** Opens the folder again and returns the refusal, or "opened". */
async function reopen(options: Parameters<typeof openChain>[0]): Promise<string> {
  const result = await openChain({ ...options, create: false });
  if (result.ok) {
    await result.value.close();
    return 'opened';
  }
  return `${result.code} ${result.message}`;
}

async function fiveBlocks() {
  const made = await testChain();
  for (let nonce = 0; nonce < 5; nonce++) await mine(made.chain, [signed(alice, nonce, { value: 1n })]);
  await made.chain.close();
  return made;
}

test('rows that a damaged log would lose are noticed at open', async (t) => {
  const cases: readonly (readonly [string, (db: Level<Uint8Array, Uint8Array>) => Promise<void>, RegExp])[] = [
    ['a header in the middle', (db) => db.del(headerKey(3)), /block 3 is missing/],
    ['the newest header', (db) => db.del(headerKey(5)), /newest block is 4/],
    ['the head record', (db) => db.del(metaKey('head')), /head record is missing/],
    ['the genesis marker', (db) => db.del(metaKey('schema')), /genesis marker is missing/],
    ['the root of the state', (db) => db.del(accountNodeKey(new Uint8Array(0))), /state is not that of the head/],
  ];
  for (const [name, change, expected] of cases) {
    const made = await fiveBlocks();
    await withRows(made.directory, change);
    t.regex(await reopen(made.options), expected, name);
    await rm(made.directory, { recursive: true });
  }
});

test('a flipped byte in any kind of row is named', async (t) => {
  const made = await fiveBlocks();
  t.teardown(() => rm(made.directory, { recursive: true, force: true }));
  const rows = [headerKey(2), receiptsKey(4), key(PREFIX.body, headerKey(4).subarray(1))];
  for (const row of rows) {
    let before = new Uint8Array(0);
    await withRows(made.directory, async (db) => {
      before = new Uint8Array((await db.get(row)) as Uint8Array);
      const bent = before.slice();
      bent[5] = (bent[5] as number) ^ 1;
      await db.put(row, bent);
    });
    t.regex(await reopen(made.options), new RegExp(`checksum of row ${toHex(row)}`));
    await withRows(made.directory, (db) => db.put(row, before));
  }
  t.is(await reopen(made.options), 'opened');
});

test('a flipped byte in a row that opening does not read is named by the full check', async (t) => {
  const made = await fiveBlocks();
  t.teardown(() => rm(made.directory, { recursive: true, force: true }));
  const chain = unwrap(await openChain({ ...made.options, create: false }));
  const { stateRoot } = chain.head().header;
  await chain.close();
  t.true((await auditState(made.directory, stateRoot)).ok);
  let row = new Uint8Array(0);
  await withRows(made.directory, async (db) => {
    for await (const [found, value] of db.iterator({ gte: key(PREFIX.code), lt: key(PREFIX.code + 1), limit: 1 })) {
      row = new Uint8Array(found);
      const bent = new Uint8Array(value);
      bent[7] = (bent[7] as number) ^ 0x20;
      await db.put(row, bent);
    }
  });
  const audit = await auditState(made.directory, stateRoot);
  t.regex(audit.ok ? '' : audit.message, new RegExp(`checksum of row ${toHex(row)}`));
});

test('a byte flipped in the log file is noticed at open', async (t) => {
  const made = await fiveBlocks();
  t.teardown(() => rm(made.directory, { recursive: true, force: true }));
  const log = readdirSync(made.directory).find((name) => name.endsWith('.log'));
  t.truthy(log);
  const path = join(made.directory, log ?? '');
  const bytes = readFileSync(path);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] as number) ^ 0xff;
  writeFileSync(path, bytes);
  t.regex(await reopen(made.options), /databaseCorrupt/);
});

test('a row that is damaged under a running chain stops it instead of changing an answer', async (t) => {
  const made = await fiveBlocks();
  t.teardown(() => rm(made.directory, { recursive: true, force: true }));
  const row = key(PREFIX.account, Buffer.from(bob.address.slice(2), 'hex'));
  await withRows(made.directory, (db) => db.put(row, Uint8Array.of(1, 2, 3, 4, 5, 6)));
  const chain = unwrap(await openChain({ ...made.options, create: false }));
  await t.throwsAsync(unwrap(chain.state(5)).balance(bob.address), { message: /checksum of row/ });
  t.truthy(chain.failure());
  const refused = await chain.buildBlock({
    timestamp: chain.head().header.timestamp + 1,
    author: alice.address,
    mix: `0x${'00'.repeat(32)}`,
    vrfProof: new Uint8Array(0),
    parentCertificate: new Uint8Array(0),
    nextSetHash: `0x${'00'.repeat(32)}`,
    transactions: [],
  });
  t.is(refused.ok ? '' : refused.code, 'poisoned');
  await chain.close();
});

test('after one failed write the handle refuses every later one', async (t) => {
  const directory = await temporaryFolder();
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const store = unwrap(await openStore(directory, true, () => {}));
  await store.write([[Uint8Array.of(1), Uint8Array.of(2)]]);
  await t.throwsAsync(store.write([[new Uint8Array(0), null] as never, [null as never, null]]), {
    message: /write failed/,
  });
  await t.throwsAsync(store.write([[Uint8Array.of(1), Uint8Array.of(3)]]), { message: /write failed/ });
  t.deepEqual([...(store.get(Uint8Array.of(1)) ?? [])], [2]);
  await store.close();
});

test('kill -9 in the middle of blocks loses nothing that was acknowledged and tears nothing', async (t) => {
  const directory = await temporaryFolder();
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const worker = fileURLToPath(new URL('./crash-worker.js', import.meta.url));
  let acknowledged = 0;
  for (let run = 0; run < 2; run++) {
    const child = spawn(process.execPath, [worker, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    const target = acknowledged + 6 + run;
    child.stdout.on('data', (data: Buffer) => {
      for (const line of data.toString().trim().split('\n')) acknowledged = Math.max(acknowledged, Number(line));
      if (acknowledged >= target) child.kill('SIGKILL');
    });
    await once(child, 'exit');
    const made = await testChain({ directory, create: false });
    const { number } = made.chain.head().header;
    t.true(number >= acknowledged, `head ${number}, acknowledged ${acknowledged}`);
    t.is(await unwrap(made.chain.state(number)).nonce(alice.address), number);
    t.is(unwrap(await auditBlocks(made.chain)), number + 1);
    const { stateRoot } = made.chain.head().header;
    await made.chain.close();
    t.is(unwrap(await auditState(directory, stateRoot)).stateRoot, stateRoot);
  }
});

test('a value checks against its own key only', (t) => {
  const value = protect(Uint8Array.of(1), Uint8Array.of(9));
  t.is(value.length, 5);
  t.notDeepEqual(value, protect(Uint8Array.of(2), Uint8Array.of(9)));
});
