// Owns compilation of the small contracts tests deploy.

import { createRequire } from 'node:module';
import type { Abi, Hex } from 'viem';

type Output = {
  errors?: readonly { severity: string; formattedMessage: string }[];
  contracts: Record<
    string,
    Record<string, { abi: Abi; evm: Record<'bytecode' | 'deployedBytecode', { object: string }> }>
  >;
};

/** ABI, creation code and runtime code of the one contract of a source. */
export function compile(name: string, source: string): Readonly<{ abi: Abi; bytecode: Hex; runtime: Hex }> {
  const solc = createRequire(import.meta.url)('solc') as { compile(input: string): string };
  const input = {
    language: 'Solidity',
    sources: { 'test.sol': { content: source } },
    settings: {
      evmVersion: 'cancun',
      outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input))) as Output;
  const failed = output.errors?.find(({ severity }) => severity === 'error');
  if (failed !== undefined) throw new Error(failed.formattedMessage);
  const contract = output.contracts['test.sol']?.[name];
  if (contract === undefined) throw new Error(`no contract ${name}`);
  const { bytecode, deployedBytecode } = contract.evm;
  return { abi: contract.abi, bytecode: `0x${bytecode.object}`, runtime: `0x${deployedBytecode.object}` };
}
