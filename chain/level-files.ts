// Owns the check of a database folder's files as bytes, before anything opens them: LevelDB's own checksums, which it does
// not look at when it reads. What the rows say is audited elsewhere (audit.ts).

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Result, fault, success } from '../base/fault.ts';
import { type Manifest, readManifest, readRecords } from './level-log.ts';
import { wrongTable } from './level-table.ts';

export type LevelFiles = Readonly<{ files: number; bytes: number }>;

const CURRENT = 'CURRENT';

/** Reads every file of a closed database that LevelDB would read. A damaged one is named, with the byte where it shows. */
export async function checkLevelFiles(directory: string): Promise<Result<LevelFiles>> {
  let names: string[];
  try {
    names = (await readdir(directory)).sort();
  } catch {
    return fault('databaseMissing', `database: there is none in ${directory}`, { directory });
  }
  if (!names.includes(CURRENT))
    return fault('databaseMissing', `database: ${directory} has no ${CURRENT}`, { directory });
  const bytesOf = async (name: string) => new Uint8Array(await readFile(join(directory, name)));
  const current = Buffer.from(await bytesOf(CURRENT)).toString('latin1');
  const name = current.slice(0, -1);
  if (!current.endsWith('\n') || !/^MANIFEST-\d+$/.test(name) || !names.includes(name))
    return damaged(CURRENT, 'it names no manifest of this folder');
  const manifest = manifestOf(await bytesOf(name));
  if (typeof manifest === 'string') return damaged(name, manifest);
  for (const table of manifest.tables) {
    if (!names.some((other) => /\.(ldb|sst)$/.test(other) && Number.parseInt(other, 10) === table))
      return damaged(name, `table ${table} is missing`);
  }
  let files = 2;
  let bytes = current.length;
  for (const other of names) {
    const number = Number.parseInt(other, 10);
    const isTable = /^\d+\.(ldb|sst)$/.test(other) && manifest.tables.has(number);
    const isLog = /^\d+\.log$/.test(other) && number >= manifest.firstLog;
    if (!isTable && !isLog) continue;
    const file = await bytesOf(other);
    const wrong = isTable ? wrongTable(file) : readRecords(file);
    if (typeof wrong === 'string') return damaged(other, wrong);
    files++;
    bytes += file.length;
  }
  return success({ files, bytes });
}

function manifestOf(file: Uint8Array): string | Manifest {
  const records = readRecords(file);
  return typeof records === 'string' ? records : readManifest(records);
}

function damaged(name: string, wrong: string) {
  return fault('databaseCorrupt', `database file ${name}: ${wrong}; delete the database and sync again`, { name });
}
