// Owns the log: one line per event with a stable name and fields; JSON for machines, coloured text on a terminal.
// Secrets never reach it: fields are named one by one by the callers, and names of secrets are redacted all the same.

import { pino } from 'pino';
import pretty from 'pino-pretty';
import type { LogLevel } from './config.ts';
import { LOG_FIELD_CHARACTERS } from './limits.ts';

export type LogFields = Readonly<Record<string, string | number | bigint | boolean | null | undefined>>;

export type Logger = Readonly<{
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}>;

const LEVELS = { DEBUG: 'debug', INFO: 'info', WARNING: 'warn', ERROR: 'error' } as const;
const SECRET_FIELDS = ['password', 'secret', 'secretKey', 'privateKey', 'authorization', 'token'];

function bounded(fields: LogFields | undefined): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (typeof value === 'bigint') out[name] = value.toString();
    else if (typeof value === 'string') out[name] = value.slice(0, LOG_FIELD_CHARACTERS);
    else if (value !== undefined) out[name] = value;
  }
  return out;
}

/** Logger writing to standard output. `nodeId` stands in every line. */
export function createLogger(options: { level: LogLevel; nodeId: string; terminal: boolean }): Logger {
  const base = { name: options.nodeId };
  const settings = { level: LEVELS[options.level], base, redact: { paths: SECRET_FIELDS, censor: '[redacted]' } };
  const sink = options.terminal
    ? pino(
        settings,
        pretty({
          colorize: process.env.NO_COLOR === undefined,
          translateTime: 'SYS:HH:MM:ss',
          singleLine: true,
          sync: true,
          ignore: 'pid,hostname',
        }),
      )
    : pino({ ...settings, timestamp: pino.stdTimeFunctions.isoTime });
  return {
    debug: (event, fields) => sink.debug(bounded(fields), event),
    info: (event, fields) => sink.info(bounded(fields), event),
    warn: (event, fields) => sink.warn(bounded(fields), event),
    error: (event, fields) => sink.error(bounded(fields), event),
  };
}
