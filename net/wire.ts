// Owns the frame of request streams: kind (1 byte), length (4 bytes, big-endian), payload. One frame each way a stream.

import type { Stream } from '@libp2p/interface';
import { concat, u32be } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';

export const FRAME = { request: 0, answer: 1, fault: 2 } as const;
export type FrameKind = (typeof FRAME)[keyof typeof FRAME];
export type Frame = Readonly<{ kind: FrameKind; payload: Uint8Array }>;

const HEADER_BYTES = 5;
/** Bytes handed to the stream at a time; yamux cuts frames at 64 KiB. */
const CHUNK_BYTES = 64 * 1024;
/** A Fault answer is small whatever the protocol's answers are. */
const FAULT_BYTES = 2_048;

type Chunk = Readonly<{ subarray(): Uint8Array; byteLength: number }>;

/** Collects bytes as they come. Its memory follows what arrived (at most twice that), never what a header claims. */
function frameBuffer(maxBytes: number) {
  let bytes = new Uint8Array(1_024);
  let length = 0;
  let expected: number | null = null;

  function append(chunk: Uint8Array): void {
    if (length + chunk.length > bytes.length) {
      const grown = new Uint8Array(Math.max(2 * bytes.length, length + chunk.length));
      grown.set(bytes.subarray(0, length));
      bytes = grown;
    }
    bytes.set(chunk, length);
    length += chunk.length;
  }

  function readHeader(): Fault | null {
    const kind = bytes[0] ?? 0xff;
    const claimed = new DataView(bytes.buffer).getUint32(1);
    const limit = kind === FRAME.fault ? FAULT_BYTES : maxBytes;
    if (kind > FRAME.fault) return fault('malformed-frame', 'frame.kind is not 0, 1 or 2');
    if (claimed > limit) return fault('too-large', `frame.length ${claimed} is over ${limit} bytes`, { limit });
    expected = HEADER_BYTES + claimed;
    return null;
  }

  /** The frame or a refusal once decided, null while more must come. */
  return function push(chunk: Uint8Array): Result<Frame> | null {
    append(chunk);
    if (length < HEADER_BYTES) return null;
    const refusal = expected === null ? readHeader() : null;
    if (refusal !== null) return refusal;
    if (expected === null || length < expected) return null;
    if (length > expected) return fault('malformed-frame', 'bytes follow the frame');
    return success({ kind: bytes[0] as FrameKind, payload: bytes.subarray(HEADER_BYTES, length) });
  };
}

/**
 * Reads the one frame a peer sends on `stream`. Listening starts at once, so call it before sending.
 * Faults: `too-large`, `malformed-frame`, `truncated-frame`, `stream-failed`. The stream is left to the caller.
 */
export function readFrame(stream: Stream, maxBytes: number): Promise<Result<Frame>> {
  return new Promise((resolve) => {
    const push = frameBuffer(maxBytes);
    const finish = (result: Result<Frame>): void => {
      stream.removeEventListener('message', onMessage);
      stream.removeEventListener('close', onClose);
      stream.removeEventListener('remoteCloseWrite', onEnd);
      resolve(result);
    };
    const onMessage = (event: Event): void => {
      const result = push((event as Event & { data: Chunk }).data.subarray());
      if (result !== null) finish(result);
    };
    const onClose = (event: Event): void => {
      const { error } = event as Event & { error?: Error };
      finish(fault('stream-failed', `stream closed before the frame ended${error ? `: ${error.message}` : ''}`));
    };
    const onEnd = (): void => finish(fault('truncated-frame', 'stream ended inside the frame'));

    stream.addEventListener('message', onMessage);
    stream.addEventListener('close', onClose);
    stream.addEventListener('remoteCloseWrite', onEnd);
    // Events may have fired before the listeners stood; buffered data is dispatched in a microtask, so look after it.
    setTimeout(() => {
      if (stream.remoteWriteStatus === 'closed' && stream.readBufferLength === 0) onEnd();
    }, 0);
  });
}

/** Sends one frame, waiting whenever the peer is slower than we are. Throws when the stream fails or `signal` aborts. */
export async function sendFrame(stream: Stream, kind: FrameKind, payload: Uint8Array, signal: AbortSignal) {
  const head = concat(Uint8Array.of(kind), u32be(payload.length));
  const first = payload.subarray(0, CHUNK_BYTES);
  if (!stream.send(concat(head, first))) await stream.onDrain({ signal });
  for (let at = CHUNK_BYTES; at < payload.length; at += CHUNK_BYTES) {
    if (!stream.send(payload.subarray(at, at + CHUNK_BYTES))) await stream.onDrain({ signal });
  }
  await stream.close({ signal });
}

/** A Fault as it travels: its code and message, bounded; the fields stay home. */
export function encodeFault(refusal: Fault): Uint8Array {
  const { code, message } = refusal;
  return new TextEncoder().encode(JSON.stringify({ code: code.slice(0, 64), message: message.slice(0, 300) }));
}

/** The Fault a peer answered, its code prefixed `peer-`; a garbled one is `malformed-response`. */
export function decodeFault(payload: Uint8Array): Fault {
  try {
    const { code, message } = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as Record<
      string,
      unknown
    >;
    if (typeof code === 'string' && typeof message === 'string' && /^[a-z0-9-]{1,64}$/.test(code)) {
      return fault(`peer-${code}`, `peer refused: ${message.slice(0, 300)}`);
    }
  } catch {
    // Falls through: what is not JSON is as garbled as JSON of another shape.
  }
  return fault('malformed-response', 'peer answered a refusal that cannot be read');
}
