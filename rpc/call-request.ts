// Owns the transaction-shaped arguments of eth_call and its kin, with state and block overrides.

import { toHex } from '../base/bytes.ts';
import type {
  Address,
  Authorization,
  BlockOverride,
  CallOverrides,
  CallRequest,
  Hash,
  StateOverride,
} from '../chain/api.ts';
import { invalidParams } from './errors.ts';
import type { RpcLimits } from './limits.ts';
import { absent, accessList, address, data, hash, list, object, quantity, small } from './params.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Fields no message of this chain can have; left out silently they would change its meaning. */
const UNSUPPORTED = ['maxFeePerBlobGas', 'blobVersionedHashes', 'blobs', 'sidecar'] as const;

/** A call object; `chainId`, where given, must be this chain's. */
export function callRequest(value: unknown, where: string, chainId: bigint, limits: RpcLimits): CallRequest {
  const wanted = object(value, where);
  for (const field of UNSUPPORTED) {
    if (!absent(wanted[field])) throw invalidParams(`invalid ${where}.${field}: blob transactions are not supported`);
  }
  const request: Writable<CallRequest> = {};
  const read = <T>(field: string, check: (value: unknown, where: string) => T, put: (value: T) => void): void => {
    if (!absent(wanted[field])) put(check(wanted[field], `${where}.${field}`));
  };
  read('from', address, (from) => (request.from = from));
  read('to', address, (to) => (request.to = to));
  read('gas', quantity, (gas) => (request.gas = gas));
  read('value', quantity, (amount) => (request.value = amount));
  read('nonce', small, (nonce) => (request.nonce = nonce));
  read('gasPrice', quantity, (price) => (request.gasPrice = price));
  read('maxFeePerGas', quantity, (fee) => (request.maxFeePerGas = fee));
  read('maxPriorityFeePerGas', quantity, (fee) => (request.maxPriorityFeePerGas = fee));
  const input = inputOf(wanted, where);
  if (input !== null) request.data = input;
  if (!absent(wanted.accessList)) {
    request.accessList = accessList(wanted.accessList, `${where}.accessList`, limits.accessListItems);
  }
  if (!absent(wanted.authorizationList)) {
    if (request.to === undefined) throw invalidParams(`invalid ${where}: an authorizationList needs a "to"`);
    request.authorizationList = authorizations(wanted.authorizationList, `${where}.authorizationList`, limits);
  }
  checkFees(request, where);
  read('chainId', quantity, (given) => {
    if (given !== chainId) throw invalidParams(`invalid ${where}.chainId: have ${given}, want ${chainId}`);
  });
  return request;
}

/** EIP-7702's tuples as signed; the older name of the parity is v. */
function authorizations(value: unknown, where: string, limits: RpcLimits): readonly Authorization[] {
  return list(value, where, limits.authorizations).map((item, i) => {
    const at = `${where}[${i}]`;
    const entry = object(item, at);
    const yParity = small(absent(entry.yParity) ? entry.v : entry.yParity, `${at}.yParity`);
    return {
      chainId: quantity(entry.chainId, `${at}.chainId`),
      address: address(entry.address, `${at}.address`),
      nonce: quantity(entry.nonce, `${at}.nonce`, 64),
      yParity: yParity >= 27 ? yParity - 27 : yParity,
      r: quantity(entry.r, `${at}.r`),
      s: quantity(entry.s, `${at}.s`),
    };
  });
}

/** Bytes of `input` or its older name `data`; both may stand when they are equal. */
export function inputOf(wanted: Readonly<Record<string, unknown>>, where: string): Uint8Array | null {
  const input = absent(wanted.input) ? null : data(wanted.input, `${where}.input`);
  const older = absent(wanted.data) ? null : data(wanted.data, `${where}.data`);
  if (input !== null && older !== null && toHex(input) !== toHex(older)) {
    throw invalidParams(
      `invalid ${where}: both "data" and "input" are set and not equal. Please use "input" to pass transaction call data`,
    );
  }
  return input ?? older;
}

function checkFees(request: CallRequest, where: string): void {
  const { gasPrice, maxFeePerGas, maxPriorityFeePerGas } = request;
  if (gasPrice !== undefined && (maxFeePerGas !== undefined || maxPriorityFeePerGas !== undefined)) {
    throw invalidParams(`invalid ${where}: both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified`);
  }
  if (maxFeePerGas !== undefined && maxPriorityFeePerGas !== undefined && maxFeePerGas < maxPriorityFeePerGas) {
    throw invalidParams(
      `invalid ${where}: maxFeePerGas (${maxFeePerGas}) < maxPriorityFeePerGas (${maxPriorityFeePerGas})`,
    );
  }
}

/** geth's two override arguments; undefined when neither is given. */
export function callOverrides(
  state: unknown,
  block: unknown,
  firstIndex: number,
  limits: RpcLimits,
): CallOverrides | undefined {
  if (absent(state) && absent(block)) return undefined;
  const overrides: Writable<CallOverrides> = {};
  if (!absent(state)) overrides.state = stateOverrides(state, `argument ${firstIndex}`, limits);
  if (!absent(block)) overrides.block = blockOverride(block, `argument ${firstIndex + 1}`);
  return overrides;
}

function stateOverrides(value: unknown, where: string, limits: RpcLimits): Readonly<Record<Address, StateOverride>> {
  const entries = Object.entries(object(value, where));
  if (entries.length > limits.overrideAccounts) {
    throw invalidParams(`invalid ${where}: ${entries.length} accounts, want at most ${limits.overrideAccounts}`);
  }
  const overrides: Record<Address, StateOverride> = {};
  for (const [key, item] of entries) {
    const at = `${where}[${key.slice(0, 44)}]`;
    overrides[address(key, at)] = stateOverride(item, at, limits);
  }
  return overrides;
}

/** One account's entry of an override set. */
export function stateOverride(value: unknown, where: string, limits: RpcLimits): StateOverride {
  const wanted = object(value, where);
  const override: Writable<StateOverride> = {};
  if (!absent(wanted.movePrecompileToAddress)) {
    throw invalidParams(`invalid ${where}.movePrecompileToAddress: not supported`);
  }
  if (!absent(wanted.balance)) override.balance = quantity(wanted.balance, `${where}.balance`);
  if (!absent(wanted.nonce)) override.nonce = quantity(wanted.nonce, `${where}.nonce`, 64);
  if (!absent(wanted.code)) override.code = data(wanted.code, `${where}.code`);
  if (!absent(wanted.state)) override.state = slots(wanted.state, `${where}.state`, limits);
  if (!absent(wanted.stateDiff)) override.stateDiff = slots(wanted.stateDiff, `${where}.stateDiff`, limits);
  if (override.state !== undefined && override.stateDiff !== undefined) {
    throw invalidParams(`invalid ${where}: has both state and stateDiff`);
  }
  return override;
}

function slots(value: unknown, where: string, limits: RpcLimits): Readonly<Record<Hash, Hash>> {
  const entries = Object.entries(object(value, where));
  if (entries.length > limits.overrideSlots) {
    throw invalidParams(`invalid ${where}: ${entries.length} slots, want at most ${limits.overrideSlots}`);
  }
  const out: Record<Hash, Hash> = {};
  for (const [key, item] of entries) out[hash(key, where)] = hash(item, `${where}[${key.slice(0, 68)}]`);
  return out;
}

export function blockOverride(value: unknown, where: string): BlockOverride {
  const wanted = object(value, where);
  const override: Writable<BlockOverride> = {};
  const field = (...names: readonly string[]): Readonly<{ value: unknown; at: string }> | null => {
    const name = names.find((candidate) => !absent(wanted[candidate]));
    return name === undefined ? null : { value: wanted[name], at: `${where}.${name}` };
  };
  const number = field('number');
  if (number !== null) override.number = small(number.value, number.at);
  const time = field('time', 'timestamp');
  if (time !== null) override.timestamp = small(time.value, time.at);
  const gasLimit = field('gasLimit');
  if (gasLimit !== null) override.gasLimit = quantity(gasLimit.value, gasLimit.at);
  const coinbase = field('feeRecipient', 'coinbase');
  if (coinbase !== null) override.coinbase = address(coinbase.value, coinbase.at);
  const random = field('prevRandao', 'random');
  if (random !== null) override.mixHash = hash(random.value, random.at);
  const baseFee = field('baseFeePerGas', 'baseFee');
  if (baseFee !== null) override.baseFeePerGas = quantity(baseFee.value, baseFee.at);
  return override;
}
