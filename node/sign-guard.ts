// Owns what this authority has signed, on disk: a signature leaves only after its record is durable, and nothing that could
// contradict an earlier one is ever signed. Append-only records of fixed length, each written twice.

import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { concat, equal, u32be } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { type Disk, REAL_DISK } from './disk.ts';

/** Order inside a round: a proposal before the prevote before the precommit. */
export type SignStep = 1 | 2 | 3;
export type SignPlace = Readonly<{ height: number; round: number; step: SignStep }>;

/** A life cycle: open, sign, close. After a storage error it refuses for good. */
export type SignGuard = Readonly<{
  last(): SignPlace | null;
  /** Signature over `digest`, durable before it is returned; the stored one when place and digest are the last ones. */
  sign(place: SignPlace, digest: Uint8Array, signer: (digest: Uint8Array) => Uint8Array): Result<Uint8Array>;
  close(): void;
}>;

export type SignGuardOptions = Readonly<{
  path: string;
  /** 32 bytes naming network and key: a file of another one is refused. */
  domainId: Uint8Array;
  /** Only where the chain is at genesis: a lost file on a running chain must not be replaced by an empty one. */
  mayCreate: boolean;
  /** Records after which the file is written anew with the last one only. */
  compactRecords?: number;
  disk?: Disk;
}>;

/** seq 8 ‖ height 8 ‖ round 4 ‖ step 1 ‖ digest 32 ‖ signature 65 ‖ zeros ‖ crc 4. The first record is the file's head. */
const COPY_BYTES = 128;
const RECORD_BYTES = 2 * COPY_BYTES;
const CRC_AT = COPY_BYTES - 4;
const MAGIC = new Uint8Array(Buffer.from('sign-guard-v1\0\0\0', 'latin1'));
/** About 4 MiB: an hour and a half of one-second heights. */
const COMPACT_RECORDS = 16_384;

type Entry = Readonly<{ sequence: number; place: SignPlace; digest: Uint8Array; signature: Uint8Array }>;

function sealed(body: Uint8Array): Uint8Array {
  const copy = new Uint8Array(COPY_BYTES);
  copy.set(body);
  copy.set(u32be(crc32(copy.subarray(0, CRC_AT))), CRC_AT);
  return concat(copy, copy);
}

/** The copies of a record that are whole. */
function wholeCopies(record: Uint8Array): Uint8Array[] {
  return [0, COPY_BYTES]
    .map((at) => record.subarray(at, at + COPY_BYTES))
    .filter((copy) => {
      const stored = new DataView(copy.buffer, copy.byteOffset).getUint32(CRC_AT);
      return crc32(copy.subarray(0, CRC_AT)) === stored && copy.some((byte) => byte !== 0);
    });
}

function encodeEntry(entry: Entry): Uint8Array {
  const body = new Uint8Array(CRC_AT);
  const view = new DataView(body.buffer);
  view.setBigUint64(0, BigInt(entry.sequence));
  view.setBigUint64(8, BigInt(entry.place.height));
  view.setUint32(16, entry.place.round);
  body[20] = entry.place.step;
  body.set(entry.digest, 21);
  body.set(entry.signature, 53);
  return sealed(body);
}

function decodeEntry(copy: Uint8Array): Entry | null {
  const view = new DataView(copy.buffer, copy.byteOffset);
  const step = copy[20];
  if (step !== 1 && step !== 2 && step !== 3) return null;
  return {
    sequence: Number(view.getBigUint64(0)),
    place: { height: Number(view.getBigUint64(8)), round: view.getUint32(16), step },
    digest: copy.slice(21, 53),
    signature: copy.slice(53, 118),
  };
}

/** Negative where `a` is before `b`. */
export function comparePlaces(a: SignPlace, b: SignPlace): number {
  return a.height - b.height || a.round - b.round || a.step - b.step;
}

/** `isWorn`: a copy of some record is damaged, the other one stood in. */
type Loaded = Readonly<{ last: Entry | null; records: number; bytes: number; isWorn: boolean }>;

function damaged(what: string): ReturnType<typeof fault> {
  return fault('sign-guard/damaged', `sign state: ${what}; restore the file or retire this authority key`);
}

/** A torn tail is what a crash before the sync leaves, and no signature left then; damage anywhere else is refused. */
function load(bytes: Uint8Array, domainId: Uint8Array): Result<Loaded> {
  const heads = bytes.length < RECORD_BYTES ? [] : wholeCopies(bytes.subarray(0, RECORD_BYTES));
  const [head] = heads;
  if (head === undefined || !equal(head.subarray(0, MAGIC.length), MAGIC))
    return damaged('the head of the file is not readable');
  if (!equal(head.subarray(MAGIC.length, MAGIC.length + 32), domainId)) {
    return fault('sign-guard/foreign', 'sign state: the file belongs to another network or key');
  }
  const count = Math.floor(bytes.length / RECORD_BYTES);
  let last: Entry | null = null;
  let records = 1;
  let isWorn = heads.length < 2;
  for (let i = 1; i < count; i++) {
    const copies = wholeCopies(bytes.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES));
    const entry = copies[0] === undefined ? null : decodeEntry(copies[0]);
    if (entry === null) {
      if (i === count - 1 && bytes.length % RECORD_BYTES === 0) break;
      return damaged(`record ${i} is not readable`);
    }
    if (last !== null && (entry.sequence !== last.sequence + 1 || comparePlaces(entry.place, last.place) <= 0)) {
      return damaged(`record ${i} is out of order`);
    }
    last = entry;
    records++;
    isWorn ||= copies.length < 2;
  }
  return success({ last, records, bytes: records * RECORD_BYTES, isWorn });
}

function headRecord(domainId: Uint8Array): Uint8Array {
  return sealed(concat(MAGIC, domainId));
}

/** Writes a fresh file beside the old one and puts it in its place; durable before it returns. */
function writeFresh(disk: Disk, path: string, domainId: Uint8Array, last: Entry | null): void {
  const directory = dirname(path);
  disk.makeDirectory(directory);
  const temporary = `${path}.new`;
  const file = disk.open(temporary, 'empty');
  try {
    file.write(last === null ? headRecord(domainId) : concat(headRecord(domainId), encodeEntry(last)), 0);
    file.syncWhole();
  } finally {
    file.close();
  }
  disk.rename(temporary, path);
  disk.syncDirectory(directory);
}

/** Opens the sign state of a key. Faults: missing on a running chain, damaged, foreign. */
export function openSignGuard(options: SignGuardOptions): Result<SignGuard> {
  const { path, domainId, mayCreate } = options;
  const disk = options.disk ?? REAL_DISK;
  if (!disk.exists(path)) {
    if (!mayCreate) {
      return fault(
        'sign-guard/missing',
        `sign state: ${path} is missing although the chain has blocks; not starting as authority`,
      );
    }
    writeFresh(disk, path, domainId, null);
  }
  const loaded = load(disk.read(path), domainId);
  if (!loaded.ok) return loaded;
  let { last, records, bytes } = loaded.value;
  if (loaded.value.isWorn) {
    // Made whole again before the second copy rots too.
    writeFresh(disk, path, domainId, last);
    records = last === null ? 1 : 2;
    bytes = records * RECORD_BYTES;
  }
  let file = disk.open(path, 'existing');
  file.truncate(bytes);
  file.syncWhole();
  disk.syncDirectory(dirname(path));
  let failure: string | null = null;

  function persist(entry: Entry): void {
    const record = encodeEntry(entry);
    file.write(record, bytes);
    file.sync();
    bytes += record.length;
    records++;
    if (records < (options.compactRecords ?? COMPACT_RECORDS)) return;
    writeFresh(disk, path, domainId, entry);
    file.close();
    file = disk.open(path, 'existing');
    records = 2;
    bytes = 2 * RECORD_BYTES;
  }

  return success({
    last: () => last?.place ?? null,
    sign(place, digest, signer) {
      if (failure !== null)
        return fault('sign-guard/storage', `sign state: not signing after a storage error: ${failure}`);
      const { height, round, step } = place;
      if (last !== null) {
        const order = comparePlaces(place, last.place);
        if (order === 0 && equal(digest, last.digest)) return success(last.signature);
        if (order <= 0) {
          return fault(
            'sign-guard/refused',
            'sign state: something at or after this height, round and step was signed',
            {
              height,
              round,
              step,
              lastHeight: last.place.height,
              lastRound: last.place.round,
              lastStep: last.place.step,
            },
          );
        }
      }
      const entry: Entry = { sequence: (last?.sequence ?? 0) + 1, place, digest, signature: signer(digest) };
      try {
        persist(entry);
      } catch (error) {
        failure = error instanceof Error ? error.message : String(error);
        return fault('sign-guard/storage', `sign state: could not be written: ${failure}`);
      }
      last = entry;
      return success(entry.signature);
    },
    close: () => file.close(),
  });
}
