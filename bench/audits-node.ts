// One authority of `npm run bench -- audits`, a process of its own: a real node and, beside it, the engine thread of an
// auditor that re-executes a claim over and over while it is told to. Talks to its parent over the channel it was given.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fromHex, utf8 } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { unwrap } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import type { HeightReport } from '../node/consensus-options.ts';
import { loadConfig } from '../node/config.ts';
import type { EngineThreadData, TrainArgs } from '../node/engine-calls.ts';
import { type EngineThread, startEngineThread } from '../node/engine-thread.ts';
import type { Logger } from '../node/logger.ts';
import { HELD_OUT_SEQUENCES, type NetworkDefinition } from '../node/network-definition.ts';
import { readGenesis, startNode } from '../node/node.ts';
import { manifestText } from '../trainer/dataset.ts';
import { initialWeights } from '../trainer/initial-weights.ts';
import { NOTHING_CARRIED } from '../trainer/moments.ts';

/** What the parent says: `nice` is that of the audit thread to come, null ends the audits. */
export type ToNode = Readonly<{ audit: number | null }>;

/** What the node says. `state` answers every ToNode, once it holds; figures are of the time since the state before. */
export type FromNode =
  | Readonly<{ kind: 'ready' }>
  | Readonly<{ kind: 'height'; value: HeightReport }>
  | Readonly<{ kind: 'state'; steps: number; loopDelayP99Ms: number; priority: string }>;

const say = (message: FromNode): void => void process.send?.(message);

const quiet: Logger = {
  debug: (event, fields) => {
    if (event === 'height') say({ kind: 'height', value: fields as unknown as HeightReport });
  },
  info: () => undefined,
  warn: (event, fields) => process.stderr.write(`${event} ${JSON.stringify(fields)}\n`),
  error: (event, fields) => process.stderr.write(`${event} ${JSON.stringify(fields)}\n`),
};

function threadData(definition: NetworkDefinition, genesisFile: string, nice: number): EngineThreadData {
  const { manifest, training, rules } = definition;
  const name = manifest.file.sha256.slice(2);
  const bytes = readFileSync(join(dirname(genesisFile), 'blobs', 'blobs', name.slice(0, 2), name));
  const dataset = new SharedArrayBuffer(bytes.length);
  new Uint8Array(dataset).set(bytes);
  return {
    backend: 'auto',
    threads: 1,
    nice,
    memoryMb: 0,
    training,
    rules,
    manifestText: manifestText(manifest),
    dataset,
    heldOutSequences: HELD_OUT_SEQUENCES,
  };
}

/** Trains the claim that is then audited: slot 0 of a first round of its own, the same in every process. */
async function makeClaim(definition: NetworkDefinition, genesisFile: string, folder: string) {
  const base = initialWeights(definition.training.model, definition.initialSeed);
  const spec: TrainArgs['spec'] = {
    round: 0,
    seed: sha256(utf8('audits')),
    baseRoot: fromHex(definition.parameters.genesisModelRoot),
    baseVersion: 0,
    dataStart: 0,
    capacities: [1],
  };
  const thread = startEngineThread('train', threadData(definition, genesisFile, 0), quiet);
  const made = await thread.train(
    {
      ...{ spec, slot: 0, base, carried: NOTHING_CARRIED, folder, canaryStep: null },
      ...{ residual: null, carriedState: null, finalFile: null },
    },
    () => undefined,
    new AbortController().signal,
  );
  await thread.close();
  check(made.ok, 'audits: the claim is trained');
  return { spec, base, commit: made.commit };
}

type Claim = Awaited<ReturnType<typeof makeClaim>>;

/** Steps of the claim executed at a time, from the base: the audit that others' digests are checked by. */
const STEPS = 4;

function auditForever(thread: EngineThread, { spec, base, commit }: Claim) {
  const abort = new AbortController();
  let executed = 0;
  const work = (async () => {
    while (!abort.signal.aborted) {
      const verdict = await thread.audit(
        {
          spec,
          slot: 0,
          base,
          carried: NOTHING_CARRIED,
          commit,
          salt: spec.seed,
          task: { kind: 'recheck', sample: Array.from({ length: STEPS }, (_, step) => step) },
          residualRoot: new Uint8Array(32),
          finalFile: null,
        },
        () => Promise.resolve(null),
        abort.signal,
      );
      check(verdict.verdict === 'valid' || abort.signal.aborted, `audits: a true claim is ${verdict.verdict}`);
      if (verdict.verdict === 'valid') executed += STEPS;
    }
  })();
  return {
    executed: () => executed,
    async end() {
      abort.abort();
      await work;
      await thread.close();
    },
  };
}

async function main(configFile: string, folder: string): Promise<void> {
  process.on('disconnect', () => process.exit(0));
  const { config } = unwrap(loadConfig({ file: configFile, flags: {}, environment: {} }));
  const definition = unwrap(readGenesis(config.genesis_file));
  const claim = await makeClaim(definition, config.genesis_file, folder);
  const onFatal = (error: Error): void => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  };
  unwrap(await startNode({ config, log: quiet, onFatal }));
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  let audits: ReturnType<typeof auditForever> | null = null;
  let turn: Promise<unknown> = Promise.resolve();
  async function change(nice: number | null): Promise<void> {
    await audits?.end();
    const steps = audits?.executed() ?? 0;
    audits = null;
    let priority = '';
    if (nice !== null) {
      const thread = startEngineThread('audit', threadData(definition, config.genesis_file, nice), quiet);
      ({ priority } = await thread.hello());
      await thread.plan(1);
      audits = auditForever(thread, claim);
    }
    say({ kind: 'state', steps, loopDelayP99Ms: delay.percentile(99) / 1e6, priority });
    delay.reset();
  }
  process.on('message', ({ audit }: ToNode) => {
    turn = turn.then(() => change(audit)).catch(onFatal);
  });
  say({ kind: 'ready' });
}

if (process.argv[1] === import.meta.filename) {
  await main(present(process.argv[2], 'config file'), present(process.argv[3], 'folder'));
}
