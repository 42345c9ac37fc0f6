// Owns request bodies and plain answers: reading within limits, and writing JSON with a length.

import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Result, fault, success } from '../base/fault.ts';

const JSON_TYPE = /^application\/(?:json|json-rpc|[\w.-]+\+json)\s*(?:;.*)?$/i;

/** True for JSON media types: anything a page can send without a preflight is not one. */
export function isJsonType(contentType: string): boolean {
  return JSON_TYPE.test(contentType);
}

/**
 * Text of the body. Faults: `contentType` for a compressed or non-JSON one, `bodyTooLarge`, `parseError` for bytes that are
 * not UTF-8, `aborted` when the client left.
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<Result<string>> {
  if (!isJsonType(request.headers['content-type'] ?? '')) {
    return fault('contentType', 'the header content-type must be application/json');
  }
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return fault('contentType', 'compressed bodies are not accepted: send no content-encoding');
  }
  const tooLarge = fault('bodyTooLarge', `the body exceeds ${limit} bytes`, { limit });
  if (Number(request.headers['content-length'] ?? 0) > limit) return tooLarge;
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        chunks.length = 0;
        request.pause();
        resolve(tooLarge);
        return;
      }
      chunks.push(chunk);
    });
    request.on('end', () => {
      const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
      resolve(isUtf8(bytes) ? success(bytes.toString('utf8')) : fault('parseError', 'the body is not UTF-8'));
    });
    request.on('error', () => resolve(fault('aborted', 'the client left')));
    request.on('close', () => resolve(fault('aborted', 'the client left')));
  });
}

/** Sends text of a media type with a status; on a body that was not read to its end the connection is closed. */
export function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  text: string,
  type = 'application/json',
): void {
  if (response.headersSent || response.destroyed) return;
  const unread = !request.complete && request.method !== 'GET' && request.method !== 'HEAD';
  response.statusCode = status;
  response.setHeader('content-type', type);
  response.setHeader('content-length', Buffer.byteLength(text));
  if (unread) response.setHeader('connection', 'close');
  response.end(request.method === 'HEAD' ? undefined : text);
}

export function sendJson(request: IncomingMessage, response: ServerResponse, status: number, value: unknown): void {
  send(request, response, status, JSON.stringify(value));
}
