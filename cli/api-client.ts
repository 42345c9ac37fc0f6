// Owns how commands talk to a running node: its HTTP API on this machine, with errors a person can act on.

import { FaultError, fault } from '../base/fault.ts';

/** Options every command that asks a node takes. `port` is the node's API port, as published. */
export const nodeOptions = {
  port: { type: 'number', default: 8080, describe: 'API port of the node (its api_port)' },
  host: { type: 'string', default: '127.0.0.1', describe: 'host of the node' },
  json: { type: 'boolean', default: false, describe: 'print the raw JSON answer' },
} as const;

export type NodeAddress = Readonly<{ host: string; port: number }>;

const REQUEST_MS = 15_000;

function baseUrl(node: NodeAddress): string {
  if (!Number.isInteger(node.port) || node.port < 1 || node.port > 65_535) {
    throw new FaultError(fault('port', `--port: must be a whole number from 1 to 65535, not ${node.port}`));
  }
  return `http://${node.host.includes(':') ? `[${node.host}]` : node.host}:${node.port}`;
}

function unreachable(node: NodeAddress, error: unknown): FaultError {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  const why = cause?.code ?? cause?.message ?? (error as Error).name;
  return new FaultError(
    fault('unreachable', `no node answers at ${baseUrl(node)} (${why}); is it running, and is --port its API port?`),
  );
}

/** The response of a request; FaultError when nothing answers. */
export async function ask(
  node: NodeAddress,
  path: string,
  init: RequestInit = {},
  timeoutMs = REQUEST_MS,
): Promise<Response> {
  try {
    return await fetch(`${baseUrl(node)}${path}`, { ...init, signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    throw unreachable(node, error);
  }
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    throw new FaultError(fault('answer', `the node answered ${response.status} without JSON; is --port its API port?`));
  }
}

/** JSON of a REST route. A refusal of the node becomes a FaultError with its words. */
export async function getJson(node: NodeAddress, path: string): Promise<Record<string, unknown>> {
  const response = await ask(node, path);
  const body = (await readJson(response)) as Record<string, unknown>;
  if (!response.ok) {
    const error = body.error as { message?: string } | string | undefined;
    const message = typeof error === 'string' ? error : (error?.message ?? JSON.stringify(body).slice(0, 200));
    throw new FaultError(fault('refused', `the node refused: ${message}`));
  }
  return body;
}

/** Result of one JSON-RPC call. */
export async function callRpc(node: NodeAddress, method: string, params: readonly unknown[]): Promise<unknown> {
  const response = await ask(node, '/', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  const body = (await readJson(response)) as { result?: unknown; error?: { code: number; message: string } };
  if (body.error !== undefined)
    throw new FaultError(fault('rpc', `${method}: ${body.error.message} (${body.error.code})`));
  return body.result;
}
