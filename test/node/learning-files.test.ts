// What a node makes of damaged files of learning in its data folder: models are removed and named, residuals count as lost.

import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { toHex, utf8 } from '../../base/bytes.ts';
import { fault } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import type { Logger } from '../../node/logger.ts';
import { createModelKeeper } from '../../node/model-keeper.ts';
import type { NetworkDefinition } from '../../node/network-definition.ts';
import { ownResidual } from '../../node/residuals.ts';
import { roundFolder } from '../../node/state-exchange.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import { residualFile, saveResidual } from '../../trainer/round-store.ts';
import { testParameters } from '../chain/system-world.ts';
import { TINY } from '../engine/training-run.ts';

const LONGER_THAN_MEMORY = 2 ** 40;

/** Each kind of damage to a file. */
const DAMAGE: Readonly<Record<string, (path: string, bytes: Uint8Array) => void>> = {
  'one bit': (path, bytes) => {
    const changed = bytes.slice();
    changed[5] = (changed[5] ?? 0) ^ 1;
    writeFileSync(path, changed);
  },
  cut: (path) => truncateSync(path, 100),
  'longer than memory': (path) => truncateSync(path, LONGER_THAN_MEMORY),
  'a folder': (path) => {
    rmSync(path);
    mkdirSync(join(path, 'inside'), { recursive: true });
  },
};

test('a damaged model file is named, removed and asked for again', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'models-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const initialSeed = sha256(utf8('models'));
  const genesisModelRoot = toHex(stateRoot(initialWeights(TINY, initialSeed)));
  // What of a network's definition says which models it has.
  const definition = {
    parameters: { ...testParameters, genesisModelRoot },
    training: { model: TINY },
    initialSeed,
  } as unknown as NetworkDefinition;
  const warned: string[] = [];
  const note = (): void => undefined;
  const log: Logger = {
    debug: note,
    info: note,
    error: note,
    warn: (event, fields) => warned.push(`${event} ${fields?.['root']}`),
  };
  const directory = join(folder, 'models');
  mkdirSync(directory);
  const keeper = createModelKeeper({
    directory,
    definition,
    // Neither is asked when a file is read.
    thread: null as never,
    blobs: { fetch: async () => fault('blob-unavailable', 'no peer is connected') },
    log,
  });
  const bytes = prng('a model').bytes(keeper.current().params.length);
  const root = toHex(stateRoot(bytes));
  const path = join(directory, `${root.slice(2)}.bin`);
  for (const [kind, damage] of Object.entries(DAMAGE)) {
    writeFileSync(path, bytes);
    t.deepEqual(keeper.params(root), bytes);
    damage(path, bytes);
    t.is(keeper.params(root), null, kind);
    t.false(existsSync(path), kind);
    t.is(warned.pop(), `model file does not have its root; removed ${root}`);
  }
});

test('a damaged residual counts as lost', (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'residual-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const folder = roundFolder(dataDir, 4);
  mkdirSync(folder, { recursive: true });
  const bytes = prng('a residual').bytes(40_000);
  const root = stateRoot(bytes);
  for (const [kind, damage] of Object.entries(DAMAGE)) {
    saveResidual(folder, bytes);
    t.deepEqual(ownResidual(dataDir, 5, root), bytes);
    damage(residualFile(folder), bytes);
    t.is(ownResidual(dataDir, 5, root), 'lost', kind);
  }
  t.is(ownResidual(dataDir, 5, new Uint8Array(32)), null, 'zeros need no file');
});
