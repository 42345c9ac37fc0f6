// Owns the argument of eth_simulateV1: block overrides, state overrides and calls of each block, checked and bounded.

import type { Address, Hash, Withdrawal } from '../chain/api.ts';
import type { SimulationCall } from '../chain/simulated-call.ts';
import type { Simulation, SimulationBlock, SimulationOverride } from '../chain/simulation.ts';
import { blockOverride, callRequest, stateOverride } from './call-request.ts';
import { invalidParams } from './errors.ts';
import type { JsonObject } from './json.ts';
import type { RpcLimits } from './limits.ts';
import { absent, address, flag, hash, list, object, quantity } from './params.ts';

export type SimulationRequest = Simulation & Readonly<{ fullTransactions: boolean }>;

export function simulationRequest(
  value: unknown,
  where: string,
  chainId: bigint,
  limits: RpcLimits,
): SimulationRequest {
  const wanted = object(value, where);
  const at = `${where}.blockStateCalls`;
  const blocks = list(wanted.blockStateCalls, at, limits.simulatedBlocks);
  if (blocks.length === 0) throw invalidParams('empty input');
  return {
    blocks: blocks.map((block, i) => simulationBlock(object(block, `${at}[${i}]`), `${at}[${i}]`, chainId, limits)),
    traceTransfers: flag(wanted.traceTransfers, `${where}.traceTransfers`),
    validation: flag(wanted.validation, `${where}.validation`),
    fullTransactions: flag(wanted.returnFullTransactions, `${where}.returnFullTransactions`),
  };
}

function simulationBlock(wanted: JsonObject, where: string, chainId: bigint, limits: RpcLimits): SimulationBlock {
  const calls = absent(wanted.calls) ? [] : list(wanted.calls, `${where}.calls`, limits.simulatedCalls);
  return {
    block: overrides(wanted.blockOverrides, `${where}.blockOverrides`, limits),
    state: states(wanted.stateOverrides, `${where}.stateOverrides`, limits),
    calls: calls.map((call, i) =>
      simulationCall(object(call, `${where}.calls[${i}]`), `${where}.calls[${i}]`, chainId, limits),
    ),
  };
}

function overrides(value: unknown, where: string, limits: RpcLimits): SimulationBlock['block'] {
  if (absent(value)) return {};
  const wanted = object(value, where);
  return {
    ...blockOverride(value, where),
    ...(absent(wanted.beaconRoot) ? {} : { beaconRoot: hash(wanted.beaconRoot, `${where}.beaconRoot`) }),
    ...(absent(wanted.blobBaseFee) ? {} : { blobBaseFee: quantity(wanted.blobBaseFee, `${where}.blobBaseFee`) }),
    ...(absent(wanted.withdrawals)
      ? {}
      : { withdrawals: withdrawals(wanted.withdrawals, `${where}.withdrawals`, limits) }),
  };
}

function withdrawals(value: unknown, where: string, limits: RpcLimits): Withdrawal[] {
  return list(value, where, limits.simulatedWithdrawals).map((item, i) => {
    const at = `${where}[${i}]`;
    const wanted = object(item, at);
    return {
      index: quantity(wanted.index, `${at}.index`),
      validatorIndex: quantity(wanted.validatorIndex, `${at}.validatorIndex`),
      address: address(wanted.address, `${at}.address`),
      amount: quantity(wanted.amount, `${at}.amount`),
    };
  });
}

function states(value: unknown, where: string, limits: RpcLimits): Readonly<Record<Address, SimulationOverride>> {
  if (absent(value)) return {};
  const entries = Object.entries(object(value, where));
  if (entries.length > limits.overrideAccounts) {
    throw invalidParams(`invalid ${where}: ${entries.length} accounts, want at most ${limits.overrideAccounts}`);
  }
  const out: Record<Address, SimulationOverride> = {};
  for (const [key, item] of entries) {
    const at = `${where}[${key.slice(0, 44)}]`;
    const { movePrecompileToAddress: target, ...wanted } = object(item, at);
    out[address(key, at)] = {
      ...stateOverride(wanted, at, limits),
      ...(absent(target) ? {} : { movePrecompileTo: address(target, `${at}.movePrecompileToAddress`) }),
    };
  }
  return out;
}

/** As for eth_call, and with blob hashes: a simulated block may hold what a real one here may not. */
function simulationCall(wanted: JsonObject, where: string, chainId: bigint, limits: RpcLimits): SimulationCall {
  const { maxFeePerBlobGas, blobVersionedHashes, ...plain } = wanted;
  const request = callRequest(plain, where, chainId, limits);
  if (request.authorizationList !== undefined) {
    throw invalidParams(`invalid ${where}.authorizationList: not supported in simulated blocks`);
  }
  if (absent(blobVersionedHashes)) return request;
  const at = `${where}.blobVersionedHashes`;
  const hashes: Hash[] = list(blobVersionedHashes, at, limits.simulatedBlobs).map((item, i) =>
    hash(item, `${at}[${i}]`),
  );
  const fee = absent(maxFeePerBlobGas)
    ? {}
    : { maxFeePerBlobGas: quantity(maxFeePerBlobGas, `${where}.maxFeePerBlobGas`) };
  return { ...request, ...fee, blobVersionedHashes: hashes };
}
