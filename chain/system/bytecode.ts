// Owns finding the compiled contracts: build/chain/contracts.json, made by scripts/build-contracts.mjs.

import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Hex, isHex } from '../../base/bytes.ts';
import { check } from '../../base/check.ts';
import { CONTRACTS_FILE_BYTES } from './limits.ts';

export type ContractName = 'Authorities' | 'Trainers' | 'LearningRounds' | 'Rewards' | 'Bonds';

/** A contract as the compiler left it. `storage` names the slots of its state variables. */
export type CompiledContract = Readonly<{
  abi: readonly unknown[];
  creationBytecode: Hex;
  runtimeBytecode: Hex;
  storage: readonly Readonly<{ label: string; slot: number; offset: number }>[];
}>;

let loaded: Readonly<Record<ContractName, CompiledContract>> | null = null;

/** The compiled contracts, read once. Throws when the build did not make them. */
export function compiledContracts(): Readonly<Record<ContractName, CompiledContract>> {
  if (loaded === null) {
    const path = fileURLToPath(new URL('../contracts.json', import.meta.url));
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    check(size !== undefined, 'system contracts are not compiled: run npm run build');
    check(size <= CONTRACTS_FILE_BYTES, `contracts.json is larger than ${CONTRACTS_FILE_BYTES} bytes`);
    const { contracts } = JSON.parse(readFileSync(path, 'utf8'));
    for (const name of ['Authorities', 'Trainers', 'LearningRounds', 'Rewards', 'Bonds']) {
      check(isHex(contracts?.[name]?.runtimeBytecode), `contracts.json: ${name} has no bytecode`);
    }
    loaded = contracts as Readonly<Record<ContractName, CompiledContract>>;
  }
  return loaded;
}
