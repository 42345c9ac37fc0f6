// Owns the contracts every chain has at known addresses besides the protocol's own. EIP-4788, EIP-2935 and the CREATE2
// proxy hold the published code, byte for byte; Multicall3 and wrapped POL are chain/contracts/, compiled by the build.

import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isHex } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import type { Address, GenesisAccount } from './api.ts';
import { PREDEPLOYS_FILE_BYTES } from './limits.ts';

/** Parent certificate hashes by timestamp (EIP-4788). */
export const BEACON_ROOTS: Address = '0x000f3df6d732807ef1319fb7b8bb8522d0beac02';
/** The last 8,191 block hashes (EIP-2935). */
export const HISTORY_STORAGE: Address = '0x0000f90827f1c53a10cb7a02335b175320002935';
/** CREATE2 factory at the address Foundry, Hardhat and viem look for. */
const CREATE2_PROXY: Address = '0x4e59b44847b379578588920ca78fbf26c0b4956c';

/** Where wallets and libraries look for Multicall3 on any chain. */
export const MULTICALL3: Address = '0xca11bde05977b3631167028862be2a173976ca11';
/** Wrapped POL; the protocol's own contracts end in small numbers. */
export const WRAPPED_POL: Address = '0x504f4c0000000000000000000000000000000100';

const PUBLISHED: Readonly<Record<Address, GenesisAccount>> = {
  [BEACON_ROOTS]: {
    balance: 0n,
    nonce: 1,
    code: '0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500',
  },
  [HISTORY_STORAGE]: {
    balance: 0n,
    nonce: 1,
    code: '0x3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500',
  },
  [CREATE2_PROXY]: {
    balance: 0n,
    nonce: 1,
    code: '0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3',
  },
};

let all: Readonly<Record<Address, GenesisAccount>> | null = null;

/** Genesis accounts of all of them. Throws when the build did not compile the contracts. */
export function predeploys(): Readonly<Record<Address, GenesisAccount>> {
  if (all !== null) return all;
  const path = fileURLToPath(new URL('./predeploys.json', import.meta.url));
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  check(size !== undefined, 'the predeploys are not compiled: run npm run build');
  check(size <= PREDEPLOYS_FILE_BYTES, `predeploys.json is larger than ${PREDEPLOYS_FILE_BYTES} bytes`);
  const { contracts } = JSON.parse(readFileSync(path, 'utf8')) as {
    contracts: Readonly<Record<string, { runtimeBytecode: string }>>;
  };
  const compiled = (name: string): GenesisAccount => {
    const code = contracts[name]?.runtimeBytecode;
    check(isHex(code), `predeploys.json: ${name} has no bytecode`);
    return { balance: 0n, nonce: 1, code };
  };
  all = { ...PUBLISHED, [MULTICALL3]: compiled('Multicall3'), [WRAPPED_POL]: compiled('WrappedPol') };
  return all;
}
