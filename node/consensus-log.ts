// Owns the write-ahead log of one height: every input of the consensus core, in order, before it is acted on. Replaying it
// gives the core its locks, votes and proposed block back; a value once proposed is never rebuilt.

import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { concat, fromHex, toHex, u32be, u64be } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type { TimerKind, Validity } from '../consensus/input.ts';
import { MAX_HEIGHT, MAX_MESSAGE_BYTES } from '../consensus/limits.ts';
import { type Disk, type DiskFile, REAL_DISK } from './disk.ts';

/** `message` holds wire bytes (consensus/codec.ts); for a proposal also what validation said. */
export type LogEntry =
  | Readonly<{ kind: 'message'; bytes: Uint8Array; validity: Validity }>
  | Readonly<{ kind: 'timeout'; timer: TimerKind; round: number }>
  | Readonly<{ kind: 'built'; round: number; value: string; block: Uint8Array }>;

/** A life cycle: open, append and sync within a height, reset for the next, close. */
export type ConsensusLog = Readonly<{
  /** Height the log is for, 0 when it is empty. */
  height(): number;
  /** False once the height has filled the log: from then on nothing is kept, and the height must not be signed in. */
  append(entry: LogEntry): boolean;
  /** Makes everything appended durable. */
  sync(): void;
  /** Marks that something of this height is missing: it is told at the next opening. */
  spoil(): void;
  /** Forgets all entries and starts the log of `height`. */
  reset(height: number): void;
  close(): void;
}>;

export type OpenedLog = Readonly<{
  log: ConsensusLog;
  entries: readonly LogEntry[];
  /** True when entries were lost to damage that a crash does not explain: locks may be forgotten. */
  isDamaged: boolean;
}>;

/** Bytes a log may hold: a height that writes more is stuck in hundreds of rounds with full blocks. */
const MAX_LOG_BYTES = 1024 * 1024 * 1024;

const MAGIC = new Uint8Array(Buffer.from('cwal-v1\0', 'latin1'));
const HEAD_BYTES = 20;
const FRAME_BYTES = 8;
/** First byte of the last frame of a log that was full: what came after it is not known. */
const FULL = 4;
const MAX_ENTRY_BYTES = MAX_MESSAGE_BYTES + 64;
const VALIDITIES: readonly Validity[] = ['valid', 'untimely', 'invalid'];
const TIMERS: readonly TimerKind[] = ['propose', 'prevote', 'precommit'];

function encodeEntry(entry: LogEntry): Uint8Array {
  switch (entry.kind) {
    case 'message':
      return concat(Uint8Array.of(1, VALIDITIES.indexOf(entry.validity)), entry.bytes);
    case 'timeout':
      return concat(Uint8Array.of(2, TIMERS.indexOf(entry.timer)), u32be(entry.round));
    case 'built':
      return concat(Uint8Array.of(3, 0), u32be(entry.round), fromHex(entry.value), entry.block);
  }
}

function decodeEntry(bytes: Uint8Array): LogEntry | null {
  const [kind, detail] = bytes;
  const validity = VALIDITIES[detail ?? -1];
  if (kind === 1 && validity !== undefined) return { kind: 'message', bytes: bytes.slice(2), validity };
  if (bytes.length < 6) return null;
  const round = new DataView(bytes.buffer, bytes.byteOffset).getUint32(2);
  const timer = TIMERS[detail ?? -1];
  if (kind === 2 && timer !== undefined && bytes.length === 6) return { kind: 'timeout', timer, round };
  if (kind === 3 && bytes.length > 38) {
    return { kind: 'built', round, value: toHex(bytes.subarray(6, 38)), block: bytes.slice(38) };
  }
  return null;
}

type Loaded = Readonly<{ height: number; entries: LogEntry[]; bytes: number; isDamaged: boolean }>;

function headOf(height: number): Uint8Array {
  const body = concat(MAGIC, u64be(height));
  return concat(body, u32be(crc32(body)));
}

function load(bytes: Uint8Array): Loaded {
  if (bytes.length < HEAD_BYTES) return { height: 0, entries: [], bytes: 0, isDamaged: false };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const height = view.getBigUint64(8);
  if (crc32(bytes.subarray(0, 16)) !== view.getUint32(16) || height > BigInt(MAX_HEIGHT)) {
    return { height: 0, entries: [], bytes: 0, isDamaged: true };
  }
  const entries: LogEntry[] = [];
  let at = HEAD_BYTES;
  while (at + FRAME_BYTES <= bytes.length) {
    const length = view.getUint32(at);
    const end = at + FRAME_BYTES + length;
    const isWhole = length > 0 && length <= MAX_ENTRY_BYTES && end <= bytes.length;
    const body = isWhole ? bytes.subarray(at + FRAME_BYTES, end) : null;
    const sound = body !== null && crc32(body) === view.getUint32(at + 4) ? body : null;
    if (sound?.[0] === FULL) return { height: Number(height), entries, bytes: end, isDamaged: true };
    const entry = sound === null ? null : decodeEntry(sound);
    if (entry === null) {
      // A crash tears the end of the file only; a whole frame with more behind it was damaged in some other way.
      const isDamaged = (isWhole && end < bytes.length) || (length > MAX_ENTRY_BYTES && !isZero(bytes, at));
      return { height: Number(height), entries, bytes: at, isDamaged };
    }
    entries.push(entry);
    at = end;
  }
  return { height: Number(height), entries, bytes: at, isDamaged: false };
}

function isZero(bytes: Uint8Array, from: number): boolean {
  for (let i = from; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** Opens or creates the log. Fault when the file cannot be read. */
export function openConsensusLog(
  path: string,
  disk: Disk = REAL_DISK,
  maxBytes: number = MAX_LOG_BYTES,
): Result<OpenedLog> {
  let isNew: boolean;
  let file: DiskFile;
  let loaded: Loaded;
  try {
    disk.makeDirectory(dirname(path));
    isNew = !disk.exists(path);
    file = disk.open(path, isNew ? 'empty' : 'existing');
    loaded = load(isNew ? new Uint8Array(0) : disk.read(path));
  } catch (error) {
    return fault(
      'consensus-log/unreadable',
      `consensus log: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (isNew) {
    file.syncWhole();
    disk.syncDirectory(dirname(path));
  }
  let { height, bytes } = loaded;
  let isDirty = false;
  let isFull = false;
  file.truncate(bytes);

  function write(part: Uint8Array): void {
    file.write(part, bytes);
    bytes += part.length;
    isDirty = true;
  }
  function frame(body: Uint8Array): void {
    write(concat(u32be(body.length), u32be(crc32(body)), body));
  }
  const log: ConsensusLog = {
    height: () => height,
    append(entry) {
      if (isFull) return false;
      const wanted = encodeEntry(entry);
      if (bytes + wanted.length <= maxBytes) frame(wanted);
      else log.spoil();
      return !isFull;
    },
    spoil() {
      if (isFull) return;
      isFull = true;
      frame(Uint8Array.of(FULL));
      log.sync();
    },
    sync() {
      if (isDirty) file.sync();
      isDirty = false;
    },
    reset(next) {
      file.truncate(0);
      bytes = 0;
      isFull = false;
      height = next;
      write(headOf(next));
      log.sync();
    },
    close: () => file.close(),
  };
  // The damage is cut off: without a mark a second crash would hide it.
  if (loaded.isDamaged && height > 0) log.spoil();
  return success({ log, entries: loaded.entries, isDamaged: loaded.isDamaged });
}
