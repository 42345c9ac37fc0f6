// Owns refusals: input from outside that does not pass is answered with a Fault, a value with a code and fields.

export type FaultFields = Readonly<Record<string, string | number | bigint | boolean>>;

/** A refusal. `code` is stable and machine-readable, `message` names the field and the limit for a person. */
export type Fault = Readonly<{ ok: false; code: string; message: string; fields: FaultFields }>;

export type Success<T> = Readonly<{ ok: true; value: T }>;
export type Result<T> = Success<T> | Fault;

export function fault(code: string, message: string, fields: FaultFields = {}): Fault {
  return { ok: false, code, message, fields };
}

export function success<T>(value: T): Success<T> {
  return { ok: true, value };
}

/** A Fault that crosses code which can only throw (library callbacks, request handlers). */
export class FaultError extends Error {
  override readonly name = 'FaultError';
  readonly fault: Fault;

  constructor(refusal: Fault) {
    super(refusal.message);
    this.fault = refusal;
  }
}

/** The value of a Result, or a throw of {@link FaultError}. */
export function unwrap<T>(result: Result<T>): T {
  if (!result.ok) throw new FaultError(result);
  return result.value;
}
