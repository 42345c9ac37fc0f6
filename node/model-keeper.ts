// Owns the network's model on this node: parameters by root on disk, the next model from accepted updates, and which one is
// current. Every set of parameters is checked against its root before it is used.

import { existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Hex, fromHex, toHex } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { stateRoot } from '../base/merkle.ts';
import type { ModelRecord, RoundRecord, ViewCall } from '../chain/system/api.ts';
import { readClaim, readEarlierModel, readModel } from '../chain/system/views.ts';
import { decodeCheckpoint } from '../trainer/checkpoint.ts';
import { initialWeights } from '../trainer/initial-weights.ts';
import type { BlobExchange } from './blob-exchange.ts';
import type { EngineThread } from './engine-thread.ts';
import { writeFileDurably } from './files.ts';
import { MODELS_KEPT, MODELS_KEPT_BYTES, MODELS_KEPT_SMALL } from './limits.ts';
import type { Logger } from './logger.ts';
import type { NetworkDefinition } from './network-definition.ts';

export type Model = Readonly<{ record: ModelRecord; params: Uint8Array }>;

export type ModelKeeper = Readonly<{
  current(): Model;
  /** Parameters of a root this node holds, or null. */
  params(root: Hex): Uint8Array | null;
  /** The model after a round whose claims are decided, from its accepted updates. The same answer on every node. */
  next(record: RoundRecord, view: ViewCall): Promise<Result<Readonly<{ root: Hex; params: Uint8Array }>>>;
  /** Makes the chain's model the current one, fetching its checkpoint when this node did not compute it. */
  follow(record: ModelRecord): Promise<Result<Model>>;
  onChange(listener: (model: Model) => void): void;
}>;

/** A keeper with its files in `directory`, starting from the genesis model. */
export function createModelKeeper(options: {
  directory: string;
  definition: NetworkDefinition;
  /** Sums updates. */
  thread: EngineThread;
  blobs: BlobExchange;
  log: Logger;
}): ModelKeeper {
  const { directory, definition, thread, blobs, log } = options;
  const { parameters, training } = definition;
  const listeners: ((model: Model) => void)[] = [];
  /** By round and attempt: a claim the referee rejected makes another sum. */
  const computing = new Map<string, Promise<Result<Readonly<{ root: Hex; params: Uint8Array }>>>>();
  const genesisParams = initialWeights(training.model, definition.initialSeed);
  check(
    toHex(stateRoot(genesisParams)) === parameters.genesisModelRoot,
    'the genesis model has the root genesis names',
  );
  let current: Model = {
    record: {
      root: parameters.genesisModelRoot,
      version: 0,
      round: -1,
      heldOutMicroNats: parameters.genesisHeldOutMicroNats,
      checkpoint: parameters.genesisCheckpoint,
    },
    params: genesisParams,
  };

  const fileOf = (root: Hex): string => join(directory, `${root.slice(2)}.bin`);

  function keep(root: Hex, params: Uint8Array): void {
    if (!existsSync(fileOf(root))) writeFileDurably(fileOf(root), params);
    const files = readdirSync(directory).filter((name) => name.endsWith('.bin'));
    const byAge = files
      .map((name) => ({ name, ...statSync(join(directory, name)) }))
      .sort((a, b) => b.mtimeMs - a.mtimeMs);
    let bytes = 0;
    for (const [index, { name, size }] of byAge.entries()) {
      bytes += size;
      if (index < MODELS_KEPT || (index < MODELS_KEPT_SMALL && bytes <= MODELS_KEPT_BYTES)) continue;
      if (name !== `${current.record.root.slice(2)}.bin`) rmSync(join(directory, name), { force: true });
    }
  }

  function params(root: Hex): Uint8Array | null {
    if (root === current.record.root) return current.params;
    if (root === parameters.genesisModelRoot) return genesisParams;
    const found = statSync(fileOf(root), { throwIfNoEntry: false });
    if (found === undefined) return null;
    // Every model of a network is as long as its first; nothing is read of what is not.
    if (found.isFile() && found.size === genesisParams.length) {
      const bytes = new Uint8Array(readFileSync(fileOf(root)));
      if (toHex(stateRoot(bytes)) === root) return bytes;
    }
    log.warn('model file does not have its root; removed', { root });
    rmSync(fileOf(root), { recursive: true, force: true });
    return null;
  }

  async function compute(
    record: RoundRecord,
    view: ViewCall,
  ): Promise<Result<Readonly<{ root: Hex; params: Uint8Array }>>> {
    const base = params(record.baseRoot);
    if (base === null) return fault('model-base', `base model ${record.baseRoot} is not here`);
    const updates: { bytes: Uint8Array; capacity: number }[] = [];
    for (const { trainer, capacity, status } of record.roster) {
      if (status !== 'accepted') continue;
      const claim = await readClaim(view, record.round, trainer);
      const bytes = await blobs.fetch(claim.updateHash, Number(claim.updateSize));
      if (!bytes.ok) return bytes;
      updates.push({ bytes: bytes.value, capacity });
    }
    const before = await modelBefore(record, view);
    if (!before.ok) return before;
    const sum = await thread.aggregate({ base, before: before.value, updates });
    const root = toHex(sum.modelRoot);
    keep(root, sum.params);
    return success({ root, params: sum.params });
  }

  /** Parameters of the model that a round's base followed, as far as the outer step needs them. */
  async function modelBefore({ baseVersion }: RoundRecord, view: ViewCall): Promise<Result<Uint8Array | null>> {
    if (definition.rules.outerMomentum === 0 || baseVersion === 0) return success(null);
    // Once the base has moved the chain no longer says: the new model is then had by its checkpoint.
    const [model, earlier] = [await readModel(view), await readEarlierModel(view)];
    if (model.version !== baseVersion || earlier === null) return fault('model-before', 'the base has moved on');
    const held = params(earlier.root);
    return held === null ? fetchCheckpoint(earlier) : success(held);
  }

  async function fetchCheckpoint(record: ModelRecord): Promise<Result<Uint8Array>> {
    const bytes = await blobs.fetch(record.checkpoint.sha256, Number(record.checkpoint.size));
    if (!bytes.ok) return bytes;
    const checkpoint = decodeCheckpoint(training.model, bytes.value, fromHex(record.root));
    if (!checkpoint.ok) return checkpoint;
    keep(record.root, checkpoint.value.params);
    return success(checkpoint.value.params);
  }

  return {
    current: () => current,
    params,
    next(record, view) {
      const key = `${record.round}.${record.attempt}`;
      const started = computing.get(key);
      // A thread that ended under it (a stopping node) is a refusal like any other: callers need not wait for the answer.
      const running =
        started ??
        compute(record, view).catch((error: unknown) => fault('model-next', `not computed: ${String(error)}`));
      computing.set(key, running);
      void running.then((result) => {
        // A failure may be a blob that has not arrived yet: the next asker tries again.
        if (!result.ok) computing.delete(key);
        for (const old of computing.keys()) if (Number.parseInt(old, 10) < record.round - 1) computing.delete(old);
      });
      return running;
    },
    async follow(record) {
      if (record.root === current.record.root) {
        current = { record, params: current.params };
        return success(current);
      }
      const held = params(record.root);
      const found = held === null ? await fetchCheckpoint(record) : success(held);
      if (!found.ok) return found;
      current = { record, params: found.value };
      log.info('model', {
        version: record.version,
        round: record.round,
        root: record.root,
        heldOutMicroNats: record.heldOutMicroNats,
      });
      for (const listener of listeners) listener(current);
      return success(current);
    },
    onChange(listener) {
      listeners.push(listener);
    },
  };
}
