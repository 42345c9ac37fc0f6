// Owns the errors of the OpenAI routes: {error: {message, type, param, code}} with all four fields always present.

import { FaultError, type FaultFields, fault } from '../../base/fault.ts';

export type ApiErrorBody = Readonly<{
  error: Readonly<{ message: string; type: string; param: string | null; code: string | null }>;
}>;

/** A refusal of one parameter: HTTP 400 unless `status` says otherwise. */
export function refuse(param: string | null, message: string, code = 'invalid_value', status = 400): FaultError {
  const fields: FaultFields = { status, ...(param === null ? {} : { param }) };
  return new FaultError(fault(code, message, fields));
}

/** Seconds after which a refused client may come back, for the header Retry-After; null when it need not. */
export function retryAfter(caught: unknown): number | null {
  const seconds = caught instanceof FaultError ? caught.fault.fields.retryAfter : undefined;
  return typeof seconds === 'number' ? seconds : null;
}

const types: ReadonlyMap<number, string> = new Map([
  [401, 'authentication_error'],
  [403, 'permission_error'],
  [429, 'rate_limit_error'],
  [500, 'server_error'],
  [503, 'server_error'],
]);

/** Status and body for whatever a handler threw; what is not a refusal tells the client nothing of this program. */
export function apiErrorOf(caught: unknown): Readonly<{ status: number; body: ApiErrorBody }> {
  if (!(caught instanceof FaultError)) return shaped(500, 'the server failed to answer', null, 'internal_error');
  const { code, message, fields } = caught.fault;
  const param = fields.param;
  return shaped(Number(fields.status ?? 400), message, typeof param === 'string' ? param : null, code);
}

function shaped(status: number, message: string, param: string | null, code: string) {
  return { status, body: { error: { message, type: types.get(status) ?? 'invalid_request_error', param, code } } };
}
