// The status command: where a node stands, in words or as JSON.

import type { CommandModule } from 'yargs';
import { getJson, nodeOptions } from '../api-client.ts';

type Arguments = { port: number; host: string; json: boolean };

const LABELS: readonly (readonly [label: string, key: string])[] = [
  ['node', 'node_id'],
  ['address', 'address'],
  ['authority', 'is_authority'],
  ['blockchain height', 'blockchain_height'],
  ['peers', 'peers'],
  ['syncing', 'syncing'],
  ['learning round', 'current_round'],
  ['phase', 'phase'],
  ['epoch', 'current_epoch'],
  ['loss', 'current_loss'],
  ['model root', 'model_root'],
  ['version', 'version'],
];

export const statusCommand: CommandModule<object, Arguments> = {
  command: 'status',
  describe: 'show where a node stands',
  builder: nodeOptions as never,
  async handler(args) {
    const status = await getJson(args, '/api/v1/status');
    if (args.json) {
      console.log(JSON.stringify(status));
      return;
    }
    for (const [label, key] of LABELS) {
      const value = status[key];
      if (value !== undefined) console.log(`${label.padEnd(20)}${value === null ? 'none yet' : String(value)}`);
    }
    for (const warning of (status.warnings as string[] | undefined) ?? []) console.log(`warning: ${warning}`);
  },
};
