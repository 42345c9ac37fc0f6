// Owns the status message peers exchange on connecting and afterwards: its bytes and the check of every field.

import { type Hex, isHex, utf8 } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type { NodeBinding, ChainStatus, Role } from './api.ts';
import { parseAddress } from './addresses.ts';
import { fromHex, toHex } from '../base/bytes.ts';
import type { NetLimits } from './limits.ts';

/** Version of the network protocol; a peer with another one is refused. */
const PROTOCOL_VERSION = 1;

export type StatusMessage = Readonly<{
  chainId: number;
  genesisHash: Hex;
  status: ChainStatus;
  /** The sender's clock in milliseconds since 1970; null when it names none. */
  clockMs: number | null;
  /** Multiaddrs without peer id. */
  listen: readonly string[];
  binding: NodeBinding | null;
}>;

const ROLES: readonly Role[] = ['authority', 'trainer', 'regular'];

export function encodeStatus(message: StatusMessage): Uint8Array {
  const { chainId, genesisHash, status, clockMs, listen } = message;
  const binding = message.binding && { ...message.binding, signature: toHex(message.binding.signature) };
  return utf8(JSON.stringify({ version: PROTOCOL_VERSION, chainId, genesisHash, ...status, clockMs, listen, binding }));
}

/** Reads a status. Faults `malformed-status` and `wrong-version` name the field. */
export function decodeStatus(bytes: Uint8Array, limits: NetLimits): Result<StatusMessage> {
  if (bytes.length > limits.statusBytes) return malformed(`is longer than ${limits.statusBytes} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return malformed('is not JSON in UTF-8');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return malformed('is not an object');
  const fields = new Map<string, unknown>(Object.entries(json));
  const version = fields.get('version');
  if (version !== PROTOCOL_VERSION) {
    return fault('wrong-version', `status.version is not ${PROTOCOL_VERSION}`, { expected: PROTOCOL_VERSION });
  }
  const chainId = fields.get('chainId');
  const genesisHash = fields.get('genesisHash');
  if (!isWhole(chainId)) return malformed('.chainId is not a whole number');
  if (!isHex(genesisHash, 32)) return malformed('.genesisHash is not 32 bytes of hex');
  const status = decodeClaims(fields, limits);
  if (!status.ok) return status;
  const clockMs = fields.get('clockMs') ?? null;
  if (clockMs !== null && !isWhole(clockMs)) return malformed('.clockMs is not a whole number');
  const listen = fields.get('listen');
  if (!Array.isArray(listen) || listen.length > limits.addressesPerPeer || !listen.every(isAddress)) {
    return malformed(`.listen is not a list of at most ${limits.addressesPerPeer} addresses`);
  }
  const binding = decodeBinding(fields.get('binding'));
  if (!binding.ok) return binding;
  return success({ chainId, genesisHash, status: status.value, clockMs, listen, binding: binding.value });
}

function decodeClaims(fields: ReadonlyMap<string, unknown>, limits: NetLimits): Result<ChainStatus> {
  const height = fields.get('height');
  const headHash = fields.get('headHash');
  const role = ROLES.find((known) => known === fields.get('role'));
  const apiUrl = fields.get('apiUrl');
  if (!isWhole(height)) return malformed('.height is not a whole number');
  if (!isHex(headHash, 32)) return malformed('.headHash is not 32 bytes of hex');
  if (role === undefined) return malformed(`.role is not one of ${ROLES.join(', ')}`);
  if (
    typeof apiUrl !== 'string' ||
    apiUrl.length > limits.apiUrlLength ||
    !/^(https?:\/\/[\x21-\x7e]+)?$/.test(apiUrl)
  ) {
    return malformed(`.apiUrl is not an http address of at most ${limits.apiUrlLength} characters`);
  }
  return success({ height, headHash, role, apiUrl });
}

function decodeBinding(value: unknown): Result<NodeBinding | null> {
  if (value === null) return success(null);
  const { address, signature } = (value ?? {}) as Readonly<{ address?: unknown; signature?: unknown }>;
  if (!isHex(address, 20) || !isHex(signature, 65)) return malformed('.binding is not an address and a signature');
  return success({ address: address.toLowerCase() as Hex, signature: fromHex(signature) });
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isAddress(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith('/') && parseAddress(value).ok;
}

function malformed<T>(why: string): Result<T> {
  return fault('malformed-status', `status${why.startsWith('.') ? '' : ' '}${why}`);
}
