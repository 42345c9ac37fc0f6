// Owns who a node is: its account key (encrypted key file) and its peer key (Ed25519 seed), made when they are missing.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Hex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type { Config } from './config.ts';
import { writeFileDurably } from './files.ts';
import { createKeystore, openKeystore } from './keystore.ts';

export type Identity = Readonly<{ secretKey: Uint8Array; address: Hex; peerSeed: Uint8Array }>;

const SEED_BYTES = 32;

function peerSeed(dataDir: string): Result<Uint8Array> {
  const path = join(dataDir, 'node-key');
  if (!existsSync(path)) writeFileDurably(path, new Uint8Array(randomBytes(SEED_BYTES)), 0o600);
  const seed = new Uint8Array(readFileSync(path));
  return seed.length === SEED_BYTES
    ? success(seed)
    : fault('node-key', `node-key: ${path} must hold ${SEED_BYTES} bytes`);
}

/** Opens the keys a config names. With no keystore_file named, one is made in data_dir at the first start. */
export async function openIdentity(config: Config): Promise<Result<Identity>> {
  const seed = peerSeed(config.data_dir);
  if (!seed.ok) return seed;
  const named = config.keystore_file !== '';
  const keystoreFile = named ? config.keystore_file : join(config.data_dir, 'keystore.json');
  const passwordFile = config.password_file !== '' ? config.password_file : join(config.data_dir, 'password');
  if (!named && !existsSync(keystoreFile)) await createKeystore(keystoreFile, passwordFile);
  if (!existsSync(keystoreFile)) return fault('keystore', `keystore_file: ${keystoreFile} does not exist`);
  const opened = await openKeystore(keystoreFile, passwordFile);
  return opened.ok ? success({ ...opened.value, peerSeed: seed.value }) : opened;
}
