// Owns encrypted key files in the Web3 Secret Storage format, version 3 (scrypt, AES-128-CTR, Keccak MAC),
// so that wallets and other clients open them. Passwords come from files or prompts, never from flags.

import { createCipheriv, createDecipheriv, randomBytes, randomUUID, scrypt, timingSafeEqual } from 'node:crypto';
import { chmodSync, lstatSync, readFileSync } from 'node:fs';
import { concat, fromHex, isHex, toHex, type Hex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { keccak256 } from '../base/hash.ts';
import { addressOfSecret } from '../base/keys.ts';
import { writeFileDurably } from './files.ts';
import { KEYSTORE_FILE_BYTES, PASSWORD_FILE_BYTES, SCRYPT_MEMORY_BYTES } from './limits.ts';

/** scrypt cost: 2^17 rounds of 8 blocks, about 128 MiB and 0.4 s, as common wallets use. */
const SCRYPT = { n: 131_072, r: 8, p: 1, dklen: 32 } as const;

type KeystoreFile = Readonly<{
  version: 3;
  id: string;
  address: string;
  crypto: {
    cipher: 'aes-128-ctr';
    ciphertext: string;
    cipherparams: { iv: string };
    kdf: 'scrypt';
    kdfparams: { n: number; r: number; p: number; dklen: number; salt: string };
    mac: string;
  };
}>;

function derive(password: string, salt: Uint8Array, n: number, r: number, p: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, SCRYPT.dklen, { N: n, r, p, maxmem: SCRYPT_MEMORY_BYTES }, (error, key) =>
      error === null ? resolve(new Uint8Array(key)) : reject(error),
    );
  });
}

const bare = (bytes: Uint8Array): string => toHex(bytes).slice(2);

/** A keystore file's text for a 32-byte secret key. */
export async function encryptKey(secretKey: Uint8Array, password: string): Promise<string> {
  const salt = new Uint8Array(randomBytes(32));
  const iv = new Uint8Array(randomBytes(16));
  const key = await derive(password, salt, SCRYPT.n, SCRYPT.r, SCRYPT.p);
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), iv);
  const ciphertext = concat(cipher.update(secretKey), cipher.final());
  const file: KeystoreFile = {
    version: 3,
    id: randomUUID(),
    address: addressOfSecret(secretKey).slice(2),
    crypto: {
      cipher: 'aes-128-ctr',
      ciphertext: bare(ciphertext),
      cipherparams: { iv: bare(iv) },
      kdf: 'scrypt',
      kdfparams: { ...SCRYPT, salt: bare(salt) },
      mac: bare(keccak256(concat(key.subarray(16, 32), ciphertext))),
    },
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

function field(value: unknown, path: string): unknown {
  let at = value;
  for (const name of path.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}

/** The 32-byte secret key of a keystore file's text. Refuses other formats, absurd costs and wrong passwords. */
export async function decryptKey(text: string, password: string): Promise<Result<Uint8Array>> {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    return fault('keystore-format', 'keystore: not JSON');
  }
  const bytesAt = (path: string, length: number): Uint8Array | null => {
    const value = field(file, path);
    return typeof value === 'string' && isHex(`0x${value}`, length) ? fromHex(`0x${value}`) : null;
  };
  if (field(file, 'version') !== 3) return fault('keystore-format', 'keystore: version must be 3');
  if (field(file, 'crypto.cipher') !== 'aes-128-ctr') {
    return fault('keystore-format', 'keystore: crypto.cipher must be aes-128-ctr');
  }
  if (field(file, 'crypto.kdf') !== 'scrypt') return fault('keystore-format', 'keystore: crypto.kdf must be scrypt');
  const [n, r, p] = ['n', 'r', 'p'].map((name) => Number(field(file, `crypto.kdfparams.${name}`))) as [
    number,
    number,
    number,
  ];
  const powerOfTwo = Number.isInteger(n) && n >= 2 && (n & (n - 1)) === 0;
  if (!powerOfTwo || !(r >= 1 && p >= 1 && p <= 16) || 128 * n * r > SCRYPT_MEMORY_BYTES / 2) {
    return fault('keystore-format', 'keystore: crypto.kdfparams n, r, p out of range');
  }
  const salt = field(file, 'crypto.kdfparams.salt');
  const iv = bytesAt('crypto.cipherparams.iv', 16);
  const ciphertext = bytesAt('crypto.ciphertext', 32);
  const mac = bytesAt('crypto.mac', 32);
  if (
    typeof salt !== 'string' ||
    !isHex(`0x${salt}`) ||
    salt.length > 128 ||
    iv === null ||
    ciphertext === null ||
    mac === null
  ) {
    return fault('keystore-format', 'keystore: salt, iv, ciphertext or mac is not hex of the right length');
  }
  const key = await derive(password, fromHex(`0x${salt}`), n, r, p);
  if (!timingSafeEqual(keccak256(concat(key.subarray(16, 32), ciphertext)), mac)) {
    return fault('keystore-password', 'keystore: wrong password');
  }
  const decipher = createDecipheriv('aes-128-ctr', key.subarray(0, 16), iv);
  return success(concat(decipher.update(ciphertext), decipher.final()));
}

/** True when others than the owner may read the file. */
function readableByOthers(path: string): boolean {
  return process.platform !== 'win32' && (lstatSync(path).mode & 0o077) !== 0;
}

/** Text of a file only its owner may read. Faults name the option, the file and the limit. */
export function readSecretFile(path: string, limitBytes: number, name: string): Result<string> {
  try {
    const { size } = lstatSync(path);
    if (size > limitBytes) return fault('secret-file', `${name}: ${path} is over ${limitBytes} bytes`);
    if (readableByOthers(path))
      return fault('secret-file', `${name}: ${path} is readable by others; run: chmod 600 ${path}`);
    return success(readFileSync(path, 'utf8'));
  } catch (error) {
    return fault(
      'secret-file',
      `${name}: cannot read ${path} (${(error as NodeJS.ErrnoException).code ?? 'unreadable'})`,
    );
  }
}

/** Secret key and address from a keystore file and a password file (its trailing line end is not part of it). */
export async function openKeystore(
  keystoreFile: string,
  passwordFile: string,
): Promise<Result<Readonly<{ secretKey: Uint8Array; address: Hex }>>> {
  const text = readSecretFile(keystoreFile, KEYSTORE_FILE_BYTES, 'keystore_file');
  if (!text.ok) return text;
  const password = readSecretFile(passwordFile, PASSWORD_FILE_BYTES, 'password_file');
  if (!password.ok) return password;
  const secretKey = await decryptKey(text.value, password.value.replace(/\r?\n$/, ''));
  if (!secretKey.ok) return fault(secretKey.code, `${secretKey.message} (${keystoreFile})`);
  return success({ secretKey: secretKey.value, address: addressOfSecret(secretKey.value) });
}

/** Makes a new random key, written encrypted with a new random password, both files for the owner only. */
export async function createKeystore(
  keystoreFile: string,
  passwordFile: string,
): Promise<Readonly<{ secretKey: Uint8Array; address: Hex }>> {
  const secretKey = new Uint8Array(randomBytes(32));
  const password = randomBytes(24).toString('base64url');
  writeFileDurably(passwordFile, `${password}\n`, 0o600);
  writeFileDurably(keystoreFile, await encryptKey(secretKey, password), 0o600);
  for (const path of [passwordFile, keystoreFile]) chmodSync(path, 0o600);
  return { secretKey, address: addressOfSecret(secretKey) };
}
