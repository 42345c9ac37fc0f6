// Owns the genesis file: its JSON form, its checks with Faults naming the field, and the genesis block it fixes.

import { fromHex, isHex, utf8 } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { addressOf, decompressPublicKey } from '../base/keys.ts';
import type { Address, Genesis, GenesisAccount, GenesisAuthority, Hash, Header } from './api.ts';
import { EMPTY_OMMERS, EMPTY_REQUESTS, EMPTY_ROOT, ZERO_BLOOM, ZERO_HASH, ZERO_NONCE } from './header.ts';
import { keccakHex } from './keccak.ts';
import { GENESIS_ACCOUNTS, GENESIS_AUTHORITIES, GENESIS_BYTES } from './limits.ts';

/** Unused by any known network. */
export const DEFAULT_CHAIN_ID = 504_101;
/** Development networks of other tools: wallets and deployers treat these ids as simulators. */
const TAKEN_CHAIN_IDS: readonly number[] = [1_337, 31_337];
const FORMAT = 'pol-node-genesis-1';

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = { readonly [name: string]: Json };

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON with sorted names and no white space: one text for one value. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (isObject(value)) {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name])}`).join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

function bad(field: string, expected: string): Fault {
  return fault('badGenesis', `genesis.${field}: ${expected}`, { field });
}

/** The genesis of a file's text. Unknown fields are refused, so that a misspelt one is not silently a default. */
export function parseGenesis(text: string): Result<Genesis> {
  if (text.length > GENESIS_BYTES) return bad('', `more than ${GENESIS_BYTES} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return bad('', 'not JSON');
  }
  if (!isObject(json)) return bad('', 'not an object');
  const known = [
    'format',
    'chainId',
    'timestamp',
    'gasLimit',
    'baseFeePerGas',
    'authorities',
    'alloc',
    'learning',
    'dataset',
    'challenges',
  ];
  for (const name of Object.keys(json)) if (!known.includes(name)) return bad(name, 'unknown field');
  if (json['format'] !== FORMAT) return bad('format', `must be "${FORMAT}"`);
  const gasLimit = amount(json['gasLimit']);
  if (gasLimit === null) return bad('gasLimit', 'a decimal string');
  const baseFeePerGas = amount(json['baseFeePerGas']);
  if (baseFeePerGas === null) return bad('baseFeePerGas', 'a decimal string of wei');
  const authorities = parseAuthorities(json['authorities']);
  if (!authorities.ok) return authorities;
  const alloc = parseAlloc(json['alloc']);
  if (!alloc.ok) return alloc;
  if (!isObject(json['learning'])) return bad('learning', 'an object');
  if (!isObject(json['dataset'])) return bad('dataset', 'an object');
  const { challenges } = json;
  if (challenges !== undefined && !isObject(challenges)) return bad('challenges', 'an object');
  return checkGenesis({
    chainId: json['chainId'] as number,
    timestamp: json['timestamp'] as number,
    gasLimit,
    baseFeePerGas,
    authorities: authorities.value,
    alloc: alloc.value,
    learning: json['learning'],
    dataset: json['dataset'],
    ...(challenges === undefined ? {} : { challenges }),
  });
}

/** Checks what types cannot say. */
export function checkGenesis(genesis: Genesis): Result<Genesis> {
  const { chainId, timestamp, gasLimit, baseFeePerGas } = genesis;
  if (!Number.isSafeInteger(chainId) || chainId < 1) return bad('chainId', 'a whole number from 1');
  if (TAKEN_CHAIN_IDS.includes(chainId)) return bad('chainId', `${chainId} is a simulator's id; choose another`);
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) return bad('timestamp', 'whole seconds since 1970');
  if (gasLimit < 5_000_000n || gasLimit > 1_000_000_000n) return bad('gasLimit', 'from 5000000 to 1000000000');
  if (baseFeePerGas < 1n || baseFeePerGas >= 1n << 128n) return bad('baseFeePerGas', 'from 1 wei');
  const total = Object.values(genesis.alloc).reduce((sum, account) => sum + account.balance, 0n);
  if (total >= 1n << 255n) return bad('alloc', 'balances sum to more than 2^255');
  return success(genesis);
}

/** Decimal string of an amount, or null. */
function amount(value: unknown): bigint | null {
  return typeof value === 'string' && /^(0|[1-9]\d{0,77})$/.test(value) && BigInt(value) < 1n << 256n
    ? BigInt(value)
    : null;
}

function parseAuthorities(value: unknown): Result<GenesisAuthority[]> {
  if (!Array.isArray(value) || value.length < 1 || value.length > GENESIS_AUTHORITIES) {
    return bad('authorities', `a list of 1 to ${GENESIS_AUTHORITIES}`);
  }
  const out: GenesisAuthority[] = [];
  for (const [index, entry] of value.entries()) {
    const at = `authorities[${index}]`;
    if (!isObject(entry) || !isHex(entry['address'], 20)) return bad(`${at}.address`, '20 bytes of 0x hex');
    if (!isHex(entry['publicKey'], 33)) return bad(`${at}.publicKey`, '33 bytes of 0x hex');
    const address = entry['address'].toLowerCase() as Address;
    const publicKey = entry['publicKey'].toLowerCase() as Hash;
    const key = decompressPublicKey(fromHex(publicKey));
    if (key === null) return bad(`${at}.publicKey`, 'not a compressed secp256k1 key');
    if (addressOf(key) !== address) return bad(`${at}.publicKey`, `not the key of ${address}`);
    if (out.some((one) => one.address === address)) return bad(`${at}.address`, 'listed twice');
    out.push({ address, publicKey });
  }
  return success(out);
}

function parseAlloc(value: unknown): Result<Record<Address, GenesisAccount>> {
  if (!isObject(value)) return bad('alloc', 'an object of addresses');
  const entries = Object.entries(value);
  if (entries.length > GENESIS_ACCOUNTS) return bad('alloc', `more than ${GENESIS_ACCOUNTS} accounts`);
  const out: Record<Address, GenesisAccount> = Object.create(null) as Record<Address, GenesisAccount>;
  for (const [name, entry] of entries) {
    const at = `alloc.${name.slice(0, 64)}`;
    if (!isHex(name, 20)) return bad(at, 'not an address of 20 bytes');
    const address = name.toLowerCase() as Address;
    if (out[address] !== undefined) return bad(at, 'listed twice');
    const account = parseAccount(entry, at);
    if (!account.ok) return account;
    out[address] = account.value;
  }
  return success(out);
}

function parseAccount(entry: unknown, at: string): Result<GenesisAccount> {
  if (!isObject(entry)) return bad(at, 'an object');
  for (const name of Object.keys(entry)) {
    if (!['balance', 'nonce', 'code', 'storage'].includes(name)) return bad(`${at}.${name}`, 'unknown field');
  }
  const balance = amount(entry['balance'] ?? '0');
  if (balance === null) return bad(`${at}.balance`, 'a decimal string of wei');
  const { nonce, code, storage } = entry;
  if (nonce !== undefined && (typeof nonce !== 'number' || !Number.isSafeInteger(nonce) || nonce < 0)) {
    return bad(`${at}.nonce`, 'a whole number from 0');
  }
  if (code !== undefined && !isHex(code)) return bad(`${at}.code`, '0x hex');
  const slots: Record<Hash, Hash> = Object.create(null) as Record<Hash, Hash>;
  if (storage !== undefined) {
    if (!isObject(storage)) return bad(`${at}.storage`, 'an object of 32-byte keys');
    for (const [slot, word] of Object.entries(storage)) {
      if (!isHex(slot, 32) || !isHex(word, 32)) return bad(`${at}.storage`, 'keys and values are 32 bytes of 0x hex');
      slots[slot.toLowerCase() as Hash] = word.toLowerCase() as Hash;
    }
  }
  return success({
    balance,
    ...(nonce === undefined ? {} : { nonce }),
    ...(code === undefined ? {} : { code: code.toLowerCase() as Hash }),
    ...(storage === undefined ? {} : { storage: slots }),
  });
}

function genesisJson(genesis: Genesis): JsonObject {
  const alloc: Record<string, Json> = {};
  for (const [address, account] of Object.entries(genesis.alloc)) {
    alloc[address.toLowerCase()] = { ...account, balance: account.balance.toString() } as unknown as Json;
  }
  return {
    format: FORMAT,
    chainId: genesis.chainId,
    timestamp: genesis.timestamp,
    gasLimit: genesis.gasLimit.toString(),
    baseFeePerGas: genesis.baseFeePerGas.toString(),
    authorities: genesis.authorities as unknown as Json,
    alloc,
    learning: genesis.learning as Json,
    dataset: genesis.dataset as Json,
    ...(genesis.challenges === undefined ? {} : { challenges: genesis.challenges as Json }),
  };
}

/** The file's text, indented for people. */
export function formatGenesis(genesis: Genesis): string {
  return `${JSON.stringify(genesisJson(genesis), null, 2)}\n`;
}

/** Header of block 0. mixHash commits to every field of the file, so two files never share a genesis hash. */
export function genesisHeader(genesis: Genesis, stateRoot: Hash, firstSetHash: Hash = ZERO_HASH): Header {
  return {
    parentHash: ZERO_HASH,
    ommersHash: EMPTY_OMMERS,
    coinbase: `0x${'00'.repeat(20)}`,
    stateRoot,
    transactionsRoot: EMPTY_ROOT,
    receiptsRoot: EMPTY_ROOT,
    logsBloom: ZERO_BLOOM,
    difficulty: 0n,
    number: 0,
    gasLimit: genesis.gasLimit,
    gasUsed: 0n,
    timestamp: genesis.timestamp,
    extraData: firstSetHash,
    mixHash: keccakHex(utf8(canonicalJson(genesisJson(genesis)))),
    nonce: ZERO_NONCE,
    baseFeePerGas: genesis.baseFeePerGas,
    withdrawalsRoot: EMPTY_ROOT,
    blobGasUsed: 0n,
    excessBlobGas: 0n,
    parentBeaconBlockRoot: ZERO_HASH,
    requestsHash: EMPTY_REQUESTS,
  };
}
