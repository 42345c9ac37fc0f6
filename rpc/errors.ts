// Owns the mapping from refusals to JSON-RPC error objects and HTTP statuses. Not where refusals arise.

import { isHex } from '../base/bytes.ts';
import { type Fault, FaultError, type FaultFields, fault } from '../base/fault.ts';

/** Error object of JSON-RPC 2.0 section 5.1. */
export type RpcError = Readonly<{ code: number; message: string; data?: unknown }>;

/** Fault codes that have a JSON-RPC code of their own (JSON-RPC 2.0, EIP-1474, geth); every other refusal is -32000. */
const rpcCodes: ReadonlyMap<string, number> = new Map([
  ['parseError', -32700],
  ['invalidRequest', -32600],
  ['methodNotFound', -32601],
  ['invalidParams', -32602],
  ['internal', -32603],
  ['reverted', 3],
  ['notFound', -32001],
  ['timeout', -32002],
  ['replyTooLarge', -32003],
  ['rateLimited', -32005],
  // eth_simulateV1 (execution-apis).
  ['simulatedNonceTooLow', -38010],
  ['simulatedNonceTooHigh', -38011],
  ['simulatedFeeTooLow', -38012],
  ['simulatedIntrinsicGas', -38013],
  ['simulatedFunds', -38014],
  ['simulatedGasLimit', -38015],
  ['simulatedBlockNumber', -38020],
  ['simulatedTimestamp', -38021],
  ['simulatedMove', -38023],
  ['simulatedInitCode', -38025],
  ['simulatedLimit', -38026],
]);

const httpStatuses: ReadonlyMap<string, number> = new Map([
  ['parseError', 400],
  ['invalidRequest', 400],
  ['invalidParams', 400],
  ['unauthorized', 401],
  ['forbidden', 403],
  ['notFound', 404],
  ['methodNotAllowed', 405],
  ['timeout', 408],
  ['bodyTooLarge', 413],
  ['contentType', 415],
  ['rateLimited', 429],
  ['internal', 500],
  ['unavailable', 503],
]);

export function invalidParams(message: string, fields: FaultFields = {}): FaultError {
  return new FaultError(fault('invalidParams', message, fields));
}

/** A refusal with geth's wording and the general code -32000. */
export function refused(message: string, code = 'refused'): FaultError {
  return new FaultError(fault(code, message));
}

/** JSON-RPC error object of a refusal; a revert carries its bytes as `data`, as geth does. */
export function rpcErrorOf(refusal: Fault): RpcError {
  const code = rpcCodes.get(refusal.code) ?? -32000;
  const data = refusal.fields.data;
  return code === 3 && isHex(data) ? { code, message: refusal.message, data } : { code, message: refusal.message };
}

/** HTTP status of a refusal on the REST side; unknown codes are the client's fault: 400. */
export function httpStatusOf(refusal: Fault): number {
  return httpStatuses.get(refusal.code) ?? 400;
}

/** The refusal a caught value carries, or an internal error that tells the client nothing of this program. */
export function faultOf(caught: unknown): Fault {
  if (caught instanceof FaultError) return caught.fault;
  return fault('internal', 'internal error');
}
