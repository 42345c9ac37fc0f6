// Owns which key a command signs with: named files, a config file, or the config in this folder of the node that is asked.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Hex } from '../base/bytes.ts';
import { FaultError, fault, unwrap } from '../base/fault.ts';
import { type Config, loadConfig } from '../node/config.ts';
import { openKeystore } from '../node/keystore.ts';

export type WalletChoice = Readonly<{
  keystore?: string | undefined;
  passwordFile?: string | undefined;
  configFile?: string | undefined;
  port: number;
}>;

/** Most config files looked at in a folder. */
const CONFIG_FILES = 200;

function configOfPort(port: number): Config | null {
  const files = readdirSync('.')
    .filter((name) => name.endsWith('_config.json'))
    .slice(0, CONFIG_FILES);
  for (const name of files) {
    const loaded = loadConfig({ file: join('.', name), flags: {}, environment: {} });
    if (loaded.ok && loaded.value.config.api_port === port && loaded.value.config.keystore_file !== '')
      return loaded.value.config;
  }
  return null;
}

/** Opens the key to sign with. FaultError says which options would name one. */
export async function openWallet(choice: WalletChoice): Promise<Readonly<{ secretKey: Uint8Array; address: Hex }>> {
  if (choice.keystore !== undefined || choice.passwordFile !== undefined) {
    if (choice.keystore === undefined || choice.passwordFile === undefined) {
      throw new FaultError(fault('wallet', '--keystore and --password-file go together'));
    }
    return unwrap(await openKeystore(choice.keystore, choice.passwordFile));
  }
  const config =
    choice.configFile !== undefined
      ? unwrap(loadConfig({ file: choice.configFile, flags: {}, environment: {} })).config
      : configOfPort(choice.port);
  if (config === null || config.keystore_file === '') {
    const where = choice.configFile ?? `this folder for api_port ${choice.port}`;
    throw new FaultError(
      fault(
        'wallet',
        `no keystore in a config of ${where}; name one with --keystore FILE --password-file FILE or --config-file FILE`,
      ),
    );
  }
  return unwrap(await openKeystore(config.keystore_file, config.password_file));
}
