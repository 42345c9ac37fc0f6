// Owns where vectors and texts that are not part of the repository are found: the folder shared/data beside it.

import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Absolute path of a file or folder under shared/data (or POL_SHARED_DATA), or null when it is not there. */
export function sharedData(path: string): string | null {
  const root = process.env['POL_SHARED_DATA'] ?? join(repository, '..', 'shared', 'data');
  const full = join(root, path);
  return existsSync(full) ? full : null;
}
