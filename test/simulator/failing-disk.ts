// Owns a disk in memory with the failures real ones have: what was not synced is lost, torn or zeroed at a crash, a rename is
// undone unless its directory was synced, space runs out at a given write, bits rot.

import { draw } from './event-queue.ts';
import type { Disk, DiskFile } from '../../node/disk.ts';

type Undo = Readonly<{ length: number; position: number; before: Uint8Array; written: Uint8Array }>;
type Content = { bytes: Uint8Array; length: number; undo: Undo[] };

export type FailingDisk = Readonly<{
  disk: Disk;
  /** A power cut. */
  crash(chance: number): void;
  /** From the `writes`-th write on there is no space, until `free`. */
  fillAfter(writes: number): void;
  free(): void;
  /** True when a write has failed for want of space since. */
  isFull(): boolean;
  /** Flips one bit of one file. */
  rot(chance: number): void;
}>;

export function failingDisk(): FailingDisk {
  const files = new Map<string, Content>();
  /** Renames whose directory has not been synced, with what they replaced. */
  let renames: Readonly<{ from: string; to: string; replaced: Content | undefined }>[] = [];
  let writesLeft = Number.POSITIVE_INFINITY;

  function resize(content: Content, length: number): void {
    if (length > content.bytes.length) {
      const larger = new Uint8Array(2 * length);
      larger.set(content.bytes.subarray(0, content.length));
      content.bytes = larger;
    }
    if (length < content.length) content.bytes.fill(0, length, content.length);
    content.length = length;
  }

  function opened(content: Content): DiskFile {
    return {
      write(bytes, position) {
        if (--writesLeft < 0) throw new Error('ENOSPC: no space left on device');
        const { length } = content;
        const before = content.bytes.slice(position, Math.min(length, position + bytes.length));
        content.undo.push({ length, position, before, written: bytes.slice() });
        resize(content, Math.max(length, position + bytes.length));
        content.bytes.set(bytes, position);
      },
      truncate(length) {
        const { length: old } = content;
        const before = content.bytes.slice(Math.min(length, old), old);
        content.undo.push({ length: old, position: Math.min(length, old), before, written: new Uint8Array(0) });
        resize(content, length);
      },
      sync() {
        content.undo = [];
      },
      syncWhole() {
        content.undo = [];
      },
      close: () => {},
    };
  }

  function lose(content: Content, chance: number): void {
    const lost = content.undo.length === 0 ? 0 : draw(chance, 1) % (content.undo.length + 1);
    for (let i = 0; i < lost; i++) {
      const undo = content.undo.pop() as Undo;
      resize(content, undo.length);
      content.bytes.set(undo.before, undo.position);
      if (i !== lost - 1 || undo.written.length === 0) continue;
      // The first of the lost writes may have left a part of itself, or only its length.
      const kept = draw(chance, 2) % (undo.written.length + 1);
      const shape = draw(chance, 3) % 3;
      if (shape === 0) continue;
      resize(content, Math.max(undo.length, undo.position + (shape === 1 ? kept : undo.written.length)));
      content.bytes.set(undo.written.subarray(0, kept), undo.position);
    }
    content.undo = [];
  }

  return {
    disk: {
      exists: (path) => files.has(path),
      read(path) {
        const content = files.get(path);
        if (content === undefined) throw new Error(`ENOENT: ${path}`);
        return content.bytes.slice(0, content.length);
      },
      open(path, how) {
        let content = files.get(path);
        if (content === undefined || how === 'empty') {
          content = { bytes: new Uint8Array(0), length: 0, undo: [] };
          files.set(path, content);
        }
        return opened(content);
      },
      makeDirectory: () => {},
      rename(from, to) {
        const content = files.get(from);
        if (content === undefined) throw new Error(`ENOENT: ${from}`);
        renames.push({ from, to, replaced: files.get(to) });
        files.set(to, content);
        files.delete(from);
      },
      syncDirectory() {
        renames = [];
      },
    },
    crash(chance) {
      for (const { from, to, replaced } of renames.reverse()) {
        if (draw(chance, 4) % 2 === 0) continue;
        files.set(from, files.get(to) as Content);
        if (replaced === undefined) files.delete(to);
        else files.set(to, replaced);
      }
      renames = [];
      let place = 0;
      for (const content of files.values()) lose(content, draw(chance, 5, place++));
    },
    fillAfter(writes) {
      writesLeft = writes;
    },
    free() {
      writesLeft = Number.POSITIVE_INFINITY;
    },
    isFull: () => writesLeft < 0,
    rot(chance) {
      const all = [...files.values()].filter(({ length }) => length > 0);
      const content = all[draw(chance, 6) % Math.max(1, all.length)];
      if (content === undefined) return;
      const at = draw(chance, 7) % content.length;
      content.bytes[at] = (content.bytes[at] as number) ^ (1 << (draw(chance, 8) % 8));
    },
  };
}
