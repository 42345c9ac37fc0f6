import { createDecipheriv } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scrypt } from '@noble/hashes/scrypt.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { createKeystore, decryptKey, encryptKey, openKeystore } from '../../node/keystore.ts';

test('a key file opens by the published recipe: scrypt, Keccak MAC, AES-128-CTR', async (t) => {
  const secretKey = new Uint8Array(32).fill(3);
  const file = JSON.parse(await encryptKey(secretKey, 'testpassword'));
  const { kdfparams, ciphertext, mac, cipherparams } = file.crypto;
  const key = scrypt('testpassword', Buffer.from(kdfparams.salt, 'hex'), {
    N: kdfparams.n,
    r: kdfparams.r,
    p: kdfparams.p,
    dkLen: 32,
  });
  const body = new Uint8Array(Buffer.from(ciphertext, 'hex'));
  t.is(toHex(keccak_256(Uint8Array.of(...key.subarray(16), ...body))).slice(2), mac);
  const aes = createDecipheriv('aes-128-ctr', key.subarray(0, 16), Buffer.from(cipherparams.iv, 'hex'));
  t.deepEqual(new Uint8Array(Buffer.concat([aes.update(body), aes.final()])), secretKey);
});

test('a wrong password and broken files are refused by name', async (t) => {
  const text = await encryptKey(new Uint8Array(32).fill(9), 'right');
  const refusal = async (file: string, password = 'right'): Promise<string> => {
    const opened = await decryptKey(file, password);
    return opened.ok ? 'opened' : opened.message;
  };
  t.is(await refusal(text), 'opened');
  t.regex(await refusal(text, 'wrong'), /wrong password/);
  t.regex(await refusal('{'), /not JSON/);
  t.regex(await refusal(text.replace('"version": 3', '"version": 1')), /version/);
  t.regex(await refusal(text.replace('"n": 131072', '"n": 1073741824')), /out of range/);
  t.regex(await refusal(text.replace('scrypt', 'argon2')), /kdf/);
});

test('key files are made for the owner only and refused when others may read them', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'keystore-'));
  try {
    const [keys, password] = [join(directory, 'keystore.json'), join(directory, 'password')];
    const made = await createKeystore(keys, password);
    t.is(statSync(keys).mode & 0o777, 0o600);
    t.is(statSync(password).mode & 0o777, 0o600);
    t.false(readFileSync(keys, 'utf8').includes(toHex(made.secretKey).slice(2)));
    const opened = await openKeystore(keys, password);
    t.true(opened.ok && opened.value.address === made.address);
    chmodSync(password, 0o644);
    const loose = await openKeystore(keys, password);
    t.regex(loose.ok ? '' : loose.message, /password_file.*readable by others/);
    chmodSync(password, 0o600);
    writeFileSync(password, 'x'.repeat(5_000));
    const long = await openKeystore(keys, password);
    t.regex(long.ok ? '' : long.message, /over 4096 bytes/);
    const missing = await openKeystore(join(directory, 'none'), password);
    t.regex(missing.ok ? '' : missing.message, /cannot read .*ENOENT/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
