// Owns a node's configuration: config file, environment and flags become one checked Config, each value with its source.
// Keys are the published snake_case names; flags win over environment, environment over file, file over default.

import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { type Result, fault, success } from '../base/fault.ts';
import { ALLOWED_HOSTS, ANNOUNCED_ADDRESSES, BOOT_NODES, CONFIG_FILE_BYTES, NODE_ID_CHARACTERS } from './limits.ts';

export type LogLevel = 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR';

export type Config = Readonly<{
  /** Name of the node in logs and in its data folder. */
  node_id: string;
  /** TCP port for peers. */
  port: number;
  /** TCP port for JSON-RPC, REST, chat and the page. */
  api_port: number;
  is_authority: boolean;
  /** Peers to dial first: "host:port" or multiaddrs. */
  boot_nodes: readonly string[];
  data_dir: string;
  training_enabled: boolean;
  /** Parameters wanted of the model; the nearest preset is taken when a network is made. */
  model_size: number;
  /** Sequences in one optimizer step, when a network is made. */
  batch_size: number;
  /** Peak learning rate, when a network is made. */
  learning_rate: number;
  /** Genesis file of the network to join. */
  genesis_file: string;
  keystore_file: string;
  password_file: string;
  /** Address the peer port binds. */
  host: string;
  /** Addresses told to peers instead of the bound one: for nodes behind a forwarded port. Forms as boot_nodes. */
  announce_addresses: readonly string[];
  /** Lets an authority that has never signed on this chain join while it runs: its sign state is made instead of missed. */
  may_create_sign_state: boolean;
  /** Address the API binds; other than loopback needs a bearer key for chat. */
  api_host: string;
  /** Host names the API answers to beside loopback names and addresses. */
  allowed_hosts: readonly string[];
  /** File with the bearer key that chat then requires; empty for none. */
  api_key_file: string;
  /** Serves eth_sendTransaction with the node's key, on loopback only. */
  wallet_rpc: boolean;
  /** Threads of one engine. */
  engine_threads: number;
  /** Mebibytes one engine may take for training and auditing; 0 asks the system. */
  engine_memory_mb: number;
  /** 'auto' takes native kernels when they are built, else WebAssembly; 'cuda' an NVIDIA device, else what 'auto' takes. */
  engine: 'auto' | 'native' | 'wasm' | 'cuda';
  /** Data a trainer takes per step, in units of batch_size sequences (1 to 64). */
  capacity: number;
  /** POL a trainer stakes when it registers, in whole POL. */
  stake: number;
  /** Now and then commits a knowingly false step, by lot, so that authorities who do not look are found. */
  canaries: boolean;
  /** Whole POL this node may lose or hold in bonds of challenges of claims it found false; 0 to challenge none by itself. */
  challenge_budget: number;
  /** This node executes one claim of each trainer in so many of its rounds again, and challenges it when it is false; 0: none. */
  claim_checks: number;
  /** Where blobs are also published: nowhere but here, or a Walrus network. */
  walrus_mode: 'local' | 'testnet' | 'mainnet';
  walrus_publisher_url: string;
  walrus_aggregator_url: string;
  log_level: LogLevel;
}>;

export type ConfigKey = keyof Config;
export type ConfigSource = 'default' | 'file' | 'environment' | 'flag';

type Rule<T> = Readonly<{ fallback: T; parse: (value: unknown, key: string) => Result<T> }>;

const wrong = (key: string, want: string, value: unknown): ReturnType<typeof fault> =>
  fault('config', `${key}: must be ${want}, not ${(JSON.stringify(value) ?? 'nothing').slice(0, 80)}`, { key });

function wholeNumber(fallback: number, least: number, most: number): Rule<number> {
  return {
    fallback,
    parse(value, key) {
      const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
      const fits = typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most;
      return fits ? success(number) : wrong(key, `a whole number from ${least} to ${most}`, value);
    },
  };
}

function decimal(fallback: number, least: number, most: number): Rule<number> {
  return {
    fallback,
    parse(value, key) {
      const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
      const fits = typeof number === 'number' && number >= least && number <= most;
      return fits ? success(number) : wrong(key, `a number from ${least} to ${most}`, value);
    },
  };
}

function flag(fallback: boolean): Rule<boolean> {
  return {
    fallback,
    parse(value, key) {
      if (value === true || value === 'true' || value === '1') return success(true);
      if (value === false || value === 'false' || value === '0') return success(false);
      return wrong(key, 'true or false', value);
    },
  };
}

function text(fallback: string, pattern: RegExp, want: string): Rule<string> {
  return {
    fallback,
    parse: (value, key) =>
      typeof value === 'string' && pattern.test(value) ? success(value) : wrong(key, want, value),
  };
}

function choice<const T extends string>(
  fallback: T,
  options: readonly T[],
  fold = (value: string): string => value,
): Rule<T> {
  return {
    fallback,
    parse(value, key) {
      const found = typeof value === 'string' ? options.find((option) => option === fold(value)) : undefined;
      return found !== undefined ? success(found) : wrong(key, `one of ${options.join(', ')}`, value);
    },
  };
}

const BOOT_NODE = /^(?:[A-Za-z0-9.-]{1,253}:\d{1,5}|\[[0-9a-fA-F:]{2,45}\]:\d{1,5}|\/[A-Za-z0-9./:_-]{3,400})$/;

function peerAddresses(most: number): Rule<readonly string[]> {
  return {
    fallback: [],
    parse(value, key) {
      const list = typeof value === 'string' ? value.split(',').filter((part) => part !== '') : value;
      if (!Array.isArray(list) || list.length > most) return wrong(key, `a list of at most ${most} peers`, value);
      for (const peer of list) {
        if (typeof peer !== 'string' || !BOOT_NODE.test(peer)) return wrong(key, 'host:port or a multiaddr', peer);
      }
      return success(list as string[]);
    },
  };
}

const hostNames: Rule<readonly string[]> = {
  fallback: [],
  parse(value, key) {
    const list = typeof value === 'string' ? value.split(',').filter((part) => part !== '') : value;
    const fits = Array.isArray(list) && list.length <= ALLOWED_HOSTS;
    if (!fits || !list.every((name) => typeof name === 'string' && /^[A-Za-z0-9.-]{1,253}$/.test(name))) {
      return wrong(key, `a list of at most ${ALLOWED_HOSTS} host names`, value);
    }
    return success(list as string[]);
  },
};

const PATH = /^[^\0]{0,4096}$/;
const HOST = /^[A-Za-z0-9.:-]{1,253}$/;
const URL_OR_EMPTY = /^(?:https?:\/\/[^\s]{1,2000})?$/;

const RULES: { readonly [K in ConfigKey]: Rule<Config[K]> } = {
  node_id: text(
    'node',
    new RegExp(`^[A-Za-z0-9_.-]{1,${NODE_ID_CHARACTERS}}$`),
    `1 to ${NODE_ID_CHARACTERS} letters, digits, _ . -`,
  ),
  port: wholeNumber(8000, 1, 65_535),
  api_port: wholeNumber(8080, 1, 65_535),
  is_authority: flag(false),
  boot_nodes: peerAddresses(BOOT_NODES),
  data_dir: text('./data', PATH, 'a path'),
  training_enabled: flag(false),
  model_size: wholeNumber(1_000_000, 10_000, 100_000_000_000),
  batch_size: wholeNumber(8, 1, 4_096),
  learning_rate: decimal(0.002, 1e-8, 1),
  genesis_file: text('', PATH, 'a path'),
  keystore_file: text('', PATH, 'a path'),
  password_file: text('', PATH, 'a path'),
  host: text('0.0.0.0', HOST, 'a host name or address'),
  announce_addresses: peerAddresses(ANNOUNCED_ADDRESSES),
  may_create_sign_state: flag(false),
  api_host: text('127.0.0.1', HOST, 'a host name or address'),
  allowed_hosts: hostNames,
  api_key_file: text('', PATH, 'a path'),
  wallet_rpc: flag(false),
  engine_threads: wholeNumber(1, 1, 256),
  engine_memory_mb: wholeNumber(0, 0, 16_777_216),
  engine: choice('auto', ['auto', 'native', 'wasm', 'cuda']),
  capacity: wholeNumber(1, 1, 64),
  stake: wholeNumber(100, 0, 1_000_000_000),
  canaries: flag(true),
  challenge_budget: wholeNumber(50, 0, 1_000_000_000),
  claim_checks: wholeNumber(0, 0, 1_000_000),
  walrus_mode: choice('local', ['local', 'testnet', 'mainnet']),
  walrus_publisher_url: text('', URL_OR_EMPTY, 'an http(s) URL'),
  walrus_aggregator_url: text('', URL_OR_EMPTY, 'an http(s) URL'),
  log_level: choice('INFO', ['DEBUG', 'INFO', 'WARNING', 'ERROR'], (value) => value.toUpperCase()),
};

export const CONFIG_KEYS = Object.keys(RULES) as ConfigKey[];

/** Keys whose value is a path; in a file they are relative to that file's folder. */
const PATH_KEYS: readonly ConfigKey[] = ['data_dir', 'genesis_file', 'keystore_file', 'password_file', 'api_key_file'];

function readFileValues(path: string): Result<Record<string, unknown>> {
  let parsed: unknown;
  try {
    if (statSync(path).size > CONFIG_FILE_BYTES)
      return fault('config-file', `config file ${path}: over ${CONFIG_FILE_BYTES} bytes`);
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const reason =
      error instanceof SyntaxError
        ? `not JSON (${error.message})`
        : ((error as NodeJS.ErrnoException).code ?? 'unreadable');
    return fault('config-file', `config file ${path}: ${reason}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return fault('config-file', `config file ${path}: must hold one JSON object`);
  }
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(parsed)) {
    if (!Object.hasOwn(RULES, key)) {
      return fault(
        'config-file',
        `config file ${path}: unknown key "${key.slice(0, 64)}"; known keys: ${CONFIG_KEYS.join(', ')}`,
        { key },
      );
    }
    const isPath =
      (PATH_KEYS as string[]).includes(key) && typeof value === 'string' && value !== '' && !isAbsolute(value);
    values[key] = isPath ? resolve(dirname(path), value as string) : value;
  }
  return success(values);
}

export type LoadedConfig = Readonly<{ config: Config; sources: Readonly<Record<ConfigKey, ConfigSource>> }>;

/**
 * One checked configuration. `flags` holds only what was given on the command line; the environment is read by the
 * names POL_NODE_<KEY>. Faults name the key, the limit and where the value came from.
 */
export function loadConfig(input: {
  file?: string | undefined;
  flags: Readonly<Partial<Record<ConfigKey, unknown>>>;
  environment: Readonly<Record<string, string | undefined>>;
}): Result<LoadedConfig> {
  const fromFile = input.file === undefined ? success({}) : readFileValues(resolve(input.file));
  if (!fromFile.ok) return fromFile;
  const config: Partial<Record<ConfigKey, unknown>> = {};
  const sources: Partial<Record<ConfigKey, ConfigSource>> = {};
  for (const key of CONFIG_KEYS) {
    const given: [ConfigSource, unknown][] = [
      ['flag', input.flags[key]],
      ['environment', input.environment[`POL_NODE_${key.toUpperCase()}`]],
      ['file', (fromFile.value as Record<string, unknown>)[key]],
    ];
    const [source, value] = given.find(([, candidate]) => candidate !== undefined) ?? ['default', RULES[key].fallback];
    const parsed = RULES[key].parse(value, key);
    if (!parsed.ok) return fault('config', `${parsed.message} (from the ${source})`, { key, source });
    config[key] = parsed.value;
    sources[key] = source;
  }
  const checked = config as Config;
  if (checked.port === checked.api_port)
    return fault('config', `api_port: must differ from port (${checked.port})`, { key: 'api_port' });
  return success({ config: checked, sources: sources as Record<ConfigKey, ConfigSource> });
}
