// Owns the flags that set configuration keys, as published, and their translation to config keys.

import type { ConfigKey } from '../node/config.ts';

/** Flags shared by run, generate-config and config show. No flag takes a secret. */
export const configOptions = {
  'node-id': { type: 'string', describe: 'name of the node' },
  port: { type: 'number', describe: 'port for peers (8000)' },
  'api-port': { type: 'number', describe: 'port for JSON-RPC, REST and chat (8080)' },
  'is-authority': { type: 'boolean', describe: 'finalize blocks and audit' },
  training: { type: 'boolean', describe: 'train and earn POL' },
  'boot-nodes': { type: 'string', describe: 'peers to dial first: host:port,host:port' },
  'data-dir': { type: 'string', describe: 'folder for chain, keys and models' },
  'genesis-file': { type: 'string', describe: 'genesis of the network to join' },
  'keystore-file': { type: 'string', describe: 'encrypted key of this node' },
  'password-file': { type: 'string', describe: 'file with its password' },
  host: { type: 'string', describe: 'address the peer port binds (0.0.0.0)' },
  'announce-addresses': { type: 'string', describe: 'addresses told to peers: host:port,host:port' },
  'may-create-sign-state': {
    type: 'boolean',
    describe: 'for an authority that has never signed on this chain: start without sign state',
  },
  'api-host': { type: 'string', describe: 'address the API binds (127.0.0.1)' },
  'allowed-hosts': { type: 'string', describe: 'host names the API answers to: name,name' },
  'api-key-file': { type: 'string', describe: 'file with the bearer key chat then requires' },
  'wallet-rpc': { type: 'boolean', describe: "serve eth_sendTransaction with this node's key (loopback only)" },
  'engine-threads': { type: 'number', describe: 'threads of one engine (1)' },
  'engine-memory-mb': { type: 'number', describe: 'MiB one engine may take (0: what the system has)' },
  engine: { type: 'string', describe: 'auto, native, wasm or cuda' },
  capacity: { type: 'number', describe: 'share of data a trainer takes, 1 to 64' },
  stake: { type: 'number', describe: 'POL a trainer stakes' },
  'log-level': { type: 'string', describe: 'DEBUG, INFO, WARNING or ERROR' },
} as const;

const RENAMED: Readonly<Record<string, ConfigKey>> = { training: 'training_enabled' };

/** Config keys given on the command line; flags left out stay out. */
export function flagsOf(args: Readonly<Record<string, unknown>>): Partial<Record<ConfigKey, unknown>> {
  const flags: Partial<Record<ConfigKey, unknown>> = {};
  for (const name of Object.keys(configOptions)) {
    if (args[name] !== undefined) flags[RENAMED[name] ?? (name.replaceAll('-', '_') as ConfigKey)] = args[name];
  }
  return flags;
}
