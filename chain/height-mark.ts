// Owns the height written beside the database after each block: LevelDB drops the end of a damaged log without a word, and
// only something outside it can tell. It never runs ahead of the disk, because it is written after the synced batch.

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Result, fault, success } from '../base/fault.ts';

const FILE = 'committed-height';
const DIGITS = 16;
const SIZE = DIGITS + 1 + 8;

export type HeightMark = Readonly<{
  /** Last height recorded, or null when there is none yet. */
  height: number | null;
  record(height: number): Promise<void>;
  close(): Promise<void>;
}>;

function line(height: number): Buffer {
  const digits = height.toString().padStart(DIGITS, '0');
  return Buffer.from(`${digits} ${crc32(digits).toString(16).padStart(8, '0')}`);
}

/** The height, null for a file that was never written (none, or blank after a power cut), or "damaged". */
async function read(file: FileHandle): Promise<number | null | 'damaged'> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(SIZE + 1), 0, SIZE + 1, 0);
  const text = buffer.subarray(0, bytesRead);
  if (text.every((byte) => byte === 0)) return null;
  const height = Number(text.toString('latin1', 0, DIGITS));
  return Number.isSafeInteger(height) && height >= 0 && line(height).equals(text) ? height : 'damaged';
}

/** Opens or makes the mark of a database folder. */
export async function openHeightMark(directory: string): Promise<Result<HeightMark>> {
  const path = join(directory, FILE);
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch (error) {
    return fault(
      'databaseUnusable',
      `database: ${path} does not open: ${error instanceof Error ? error.message : error}`,
      { path },
    );
  }
  const height = await read(file);
  if (height === 'damaged') {
    await file.close();
    return fault(
      'databaseCorrupt',
      `database: ${FILE} is damaged, so nobody can tell whether blocks are missing; delete the database and sync again`,
      { path },
    );
  }
  return success({
    height,
    async record(height) {
      await file.write(line(height), 0, SIZE, 0);
    },
    close: () => file.close(),
  });
}
