// The challenge command: proves a false training step of an accepted claim, with any key that has the bond.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CommandModule } from 'yargs';
import { type Hex, isHex, toHex } from '../../base/bytes.ts';
import { FaultError, fault, unwrap } from '../../base/fault.ts';
import { stateRoot } from '../../base/merkle.ts';
import { createExecutor } from '../../engine/executor.ts';
import { challengeBond, runChallenge } from '../../node/challenger.ts';
import { loadConfig } from '../../node/config.ts';
import type { NetworkDefinition } from '../../node/network-definition.ts';
import { heldFinalState } from '../../node/final-states.ts';
import { readGenesis } from '../../node/node.ts';
import { type Dataset, openDataset } from '../../trainer/dataset.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import { nodeOptions } from '../api-client.ts';
import { challengeChain } from '../challenge-chain.ts';
import { openWallet } from '../wallet-files.ts';

type Arguments = {
  port: number;
  host: string;
  json: boolean;
  round: number;
  trainer: string;
  step: number | undefined;
  keystore: string | undefined;
  'password-file': string | undefined;
  'config-file': string;
};

/** The data set, from the node's blobs or those its founder left beside the genesis file. */
function datasetOf(definition: NetworkDefinition, folders: readonly string[]): Dataset {
  const name = definition.manifest.file.sha256.slice(2);
  const file = folders.map((folder) => join(folder, 'blobs', name.slice(0, 2), name)).find((path) => existsSync(path));
  if (file === undefined)
    throw new FaultError(fault('challenge', `data set ${name} is in none of ${folders.join(', ')}`));
  return unwrap(openDataset(definition.manifest, new Uint8Array(readFileSync(file))));
}

/** Base models on this disk: the genesis model, and those the node kept. */
function paramsOf(definition: NetworkDefinition, dataDir: string): (root: Hex) => Uint8Array | null {
  return (root) => {
    if (root === definition.parameters.genesisModelRoot)
      return initialWeights(definition.training.model, definition.initialSeed);
    const file = join(dataDir, 'models', `${root.slice(2)}.bin`);
    if (!existsSync(file)) return null;
    const bytes = new Uint8Array(readFileSync(file));
    return toHex(stateRoot(bytes)) === root ? bytes : null;
  };
}

export const challengeCommand: CommandModule<object, Arguments> = {
  command: 'challenge',
  describe: 'prove a false training step of an accepted claim; posts nothing when the claim is right',
  builder: {
    ...nodeOptions,
    round: { type: 'number', demandOption: true, describe: 'learning round of the claim' },
    trainer: { type: 'string', demandOption: true, describe: 'trainer whose claim it is, 0x-address' },
    step: { type: 'number', describe: 'step to challenge; found by executing the claim again when left out' },
    keystore: { type: 'string', describe: 'encrypted key file that pays the bond and is paid the bounty' },
    'password-file': { type: 'string', describe: 'file that holds its password' },
    'config-file': {
      type: 'string',
      demandOption: true,
      describe: 'config of a node: its genesis, data set and models are read from its folders',
    },
  } as never,
  async handler(args) {
    const trainer = String(args.trainer).toLowerCase();
    if (!isHex(trainer, 20))
      throw new FaultError(fault('trainer', `--trainer: must be 0x and 40 hex digits, not ${args.trainer}`));
    for (const name of ['round', 'step'] as const) {
      const value = args[name];
      if (value !== undefined && (!Number.isSafeInteger(value) || value < 0))
        throw new FaultError(fault(name, `--${name}: must be a whole number from 0, not ${value}`));
    }
    const { config } = unwrap(loadConfig({ file: args['config-file'], flags: {}, environment: {} }));
    const definition = unwrap(readGenesis(config.genesis_file));
    const bondWei = challengeBond(definition);
    if (bondWei === null) throw new FaultError(fault('challenge', 'this network has no challenges in genesis'));
    const wallet = await openWallet({
      keystore: args.keystore,
      passwordFile: args['password-file'],
      configFile: args['config-file'],
      port: args.port,
    });
    const dataset = datasetOf(definition, [
      join(config.data_dir, 'blobs'),
      join(dirname(config.genesis_file), 'blobs'),
    ]);
    const executor = await createExecutor({ backend: config.engine, threads: config.engine_threads });
    try {
      const outcome = unwrap(
        await runChallenge(
          {
            chain: challengeChain(args, wallet),
            definition,
            bondWei,
            dataset,
            executor,
            params: paramsOf(definition, config.data_dir),
            finalState: (round, owner, root) => heldFinalState(config.data_dir, round, owner, root),
            say: (line) => (args.json ? undefined : console.log(line)),
          },
          { round: args.round, trainer, step: args.step ?? null, id: null, start: null },
        ),
      );
      if (args.json) console.log(JSON.stringify(outcome));
    } finally {
      await executor.close();
    }
  },
};
