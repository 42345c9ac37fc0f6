// Owns how files that must survive a crash reach the disk, as an interface: tests put a disk in its place that tears, forgets,
// fills up and rots. Everything is synchronous: a signature waits for it.

import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { syncDirectory } from './files.ts';

export type DiskFile = Readonly<{
  /** Writes all bytes. Throws where the disk cannot take them. */
  write(bytes: Uint8Array, position: number): void;
  truncate(length: number): void;
  /** Makes content and length durable. */
  sync(): void;
  /** The same with everything the file system knows of the file. */
  syncWhole(): void;
  close(): void;
}>;

export type Disk = Readonly<{
  exists(path: string): boolean;
  read(path: string): Uint8Array;
  /** Opens for writing: an existing file as it is, or a new empty one. Private to the user. */
  open(path: string, how: 'existing' | 'empty'): DiskFile;
  makeDirectory(path: string): void;
  rename(from: string, to: string): void;
  /** Makes names in a directory durable. */
  syncDirectory(path: string): void;
}>;

function realFile(handle: number): DiskFile {
  return {
    write(bytes, position) {
      for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at, bytes.length - at, position + at);
    },
    truncate: (length) => ftruncateSync(handle, length),
    sync: () => fdatasyncSync(handle),
    syncWhole: () => fsyncSync(handle),
    close: () => closeSync(handle),
  };
}

export const REAL_DISK: Disk = {
  exists: existsSync,
  read: (path) => new Uint8Array(readFileSync(path)),
  open: (path, how) => realFile(openSync(path, how === 'existing' ? 'r+' : 'w', 0o600)),
  makeDirectory(path) {
    mkdirSync(path, { recursive: true });
  },
  rename: renameSync,
  syncDirectory,
};
