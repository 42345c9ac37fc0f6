// Owns the check and reading of LevelDB's record files: write-ahead logs and manifests. A record that a crash cut off at the
// end is no damage: LevelDB drops it, and it was not acknowledged.

import { concat } from '../base/bytes.ts';
import { crc32c, unmask } from './crc32c.ts';
import { varint } from './level-table.ts';

const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const FULL = 1;
const FIRST = 2;
const LAST = 4;

/** What is wrong, or the records one after another. */
export function readRecords(file: Uint8Array): string | Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const records: Uint8Array[] = [];
  let parts: Uint8Array[] = [];
  for (let at = 0; at + HEADER_BYTES <= file.length; ) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (left < HEADER_BYTES) {
      if (file.subarray(at, at + left).some((byte) => byte !== 0)) return `padding at byte ${at} is not zero`;
      at += left;
      continue;
    }
    const sum = unmask(view.getUint32(at, true));
    const end = at + HEADER_BYTES + view.getUint16(at + 4, true);
    const stop = Math.min(file.length, at + left);
    if (end > stop) {
      // A record whose length alone is wrong matches its sum when it is read to the end.
      if (stop < file.length || crc32c(file.subarray(at + 6, stop)) === sum)
        return `the record at byte ${at} is longer than its block`;
      break;
    }
    if (crc32c(file.subarray(at + 6, end)) !== sum) return `the record at byte ${at} does not match its checksum`;
    const type = file[at + 6] as number;
    if (type === FULL || type === FIRST) parts = [];
    parts.push(file.subarray(at + HEADER_BYTES, end));
    if (type === FULL || type === LAST) records.push(concat(...parts));
    at = end;
  }
  return records;
}

export type Manifest = Readonly<{
  /** Logs below this number are done with. */
  firstLog: number;
  /** Numbers of the tables in use. Others are left over from work a crash cut off. */
  tables: ReadonlySet<number>;
}>;

/** Fields of an edit by tag: `n` a number, `s` a length and so many bytes. */
const FIELDS: Readonly<Record<number, string>> = {
  1: 's', // comparator
  2: 'n', // first log
  3: 'n', // next file
  4: 'n', // last sequence
  5: 'ns', // compaction pointer
  6: 'nn', // table dropped: level, number
  7: 'nnnss', // table added: level, number, size, smallest and largest key
  9: 'n', // log before
};

/** The files that the records of a manifest name, or what is wrong. Their sums have been checked, so edits are whole. */
export function readManifest(records: readonly Uint8Array[]): string | Manifest {
  const tables = new Set<number>();
  let firstLog = 0;
  for (const record of records) {
    for (let at = 0; at < record.length; ) {
      const tag = varint(record, at);
      const fields = FIELDS[tag.value];
      if (fields === undefined) return `an edit has the unknown field ${tag.value}`;
      at = tag.next;
      const numbers: number[] = [];
      for (const field of fields) {
        const read = varint(record, at);
        numbers.push(read.value);
        at = read.next + (field === 's' ? read.value : 0);
      }
      if (tag.value === 2) firstLog = numbers[0] as number;
      else if (tag.value === 6) tables.delete(numbers[1] as number);
      else if (tag.value === 7) tables.add(numbers[1] as number);
    }
  }
  return { firstLog, tables };
}
