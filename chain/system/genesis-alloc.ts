// Owns the accounts of the system contracts in genesis: each constructor runs in a scratch EVM, and the storage it wrote is
// put at the reserved address beside the runtime bytecode.

import { Common, Hardfork, Mainnet } from '@ethereumjs/common';
import { createEVM } from '@ethereumjs/evm';
import { SimpleStateManager } from '@ethereumjs/statemanager';
import { createAddressFromString } from '@ethereumjs/util';
import { type Hex, concat, fromHex, isHex, toHex } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { type Result, fault, success } from '../../base/fault.ts';
import { ONE_GWEI } from '../../base/units.ts';
import {
  authoritiesAbi,
  bondsAbi,
  decodeRevert,
  encodeConstructor,
  learningRoundsAbi,
  rewardsAbi,
  trainersAbi,
} from './abi.ts';
import {
  AUTHORITIES_ADDRESS,
  type Authority,
  BONDS_ADDRESS,
  LEARNING_ROUNDS_ADDRESS,
  type LearningParameters,
  REWARDS_ADDRESS,
  type SystemAccount,
  TRAINERS_ADDRESS,
} from './api.ts';
import { type CompiledContract, type ContractName, compiledContracts } from './bytecode.ts';
import type { ChallengeParameters } from './challenge-parameters.ts';
import { challengesAccounts } from './challenge-accounts.ts';
import { CONSTRUCTOR_GAS, GENESIS_SET_MEMBERS } from './limits.ts';
import { checkLearningParameters } from './parameters.ts';

/** State manager that remembers which storage was written, since a trie would only know hashed keys. */
class HarvestingState extends SimpleStateManager {
  readonly written = new Map<Hex, Hex>();

  override async putStorage(...args: Parameters<SimpleStateManager['putStorage']>): Promise<void> {
    const [, key, value] = args;
    this.written.set(toHex(key), `0x${toHex(value).slice(2).padStart(64, '0')}`);
    await super.putStorage(...args);
  }
}

const ZERO_WORD: Hex = `0x${'00'.repeat(32)}`;

function deploy(
  name: ContractName,
  address: Hex,
  constructorArgs: Uint8Array,
  balance: bigint = 0n,
): Promise<Result<SystemAccount>> {
  return deployContract(name, present(compiledContracts()[name], name), address, constructorArgs, balance);
}

async function deployContract(
  name: string,
  contract: Pick<CompiledContract, 'creationBytecode' | 'runtimeBytecode'>,
  address: Hex,
  constructorArgs: Uint8Array,
  balance: bigint = 0n,
): Promise<Result<SystemAccount>> {
  const common = new Common({ chain: Mainnet, hardfork: Hardfork.Prague });
  const stateManager = new HarvestingState({ common });
  const evm = await createEVM({ common, stateManager });
  const { execResult } = await evm.runCall({
    data: concat(fromHex(contract.creationBytecode), constructorArgs),
    gasLimit: CONSTRUCTOR_GAS,
    caller: createAddressFromString(AUTHORITIES_ADDRESS),
    skipBalance: true,
  });
  if (execResult.exceptionError !== undefined) {
    const revert = decodeRevert(execResult.returnValue);
    const why = revert === null ? execResult.exceptionError.error : `${revert.name}(${revert.args.join(', ')})`;
    return fault('system-genesis', `${name}: ${why}`, { contract: name });
  }
  check(toHex(execResult.returnValue) === contract.runtimeBytecode, `${name}: deployed code is not the compiled one`);
  const storage = [...stateManager.written].filter(([, value]) => value !== ZERO_WORD);
  storage.sort(([a], [b]) => (a < b ? -1 : 1));
  return success({ address, nonce: 1n, balance, code: execResult.returnValue, storage });
}

/** Fault for the first authority refused; the contract itself checks that each key is its address's own. */
function checkAuthorities(authorities: readonly Authority[]): Result<readonly Authority[]> {
  const refuse = (why: string) => fault('system-genesis', `authorities${why}`);
  if (authorities.length === 0 || authorities.length > GENESIS_SET_MEMBERS) {
    return refuse(`: must be 1 to ${GENESIS_SET_MEMBERS}, not ${authorities.length}`);
  }
  const seen = new Set<string>();
  for (const [index, { address, publicKey }] of authorities.entries()) {
    if (!isHex(address, 20)) return refuse(`[${index}].address: must be 0x and 20 bytes of hex`);
    if (!isHex(publicKey, 33)) return refuse(`[${index}].publicKey: must be 0x and 33 bytes of hex`);
    if (seen.has(address.toLowerCase())) return refuse(`[${index}].address: ${address} is named twice`);
    seen.add(address.toLowerCase());
  }
  return success(authorities);
}

/**
 * Accounts of the system contracts, in the order of their addresses. Faults name the parameter or authority refused.
 * The authorities' order is their index in consensus and in masks. Their bonds are the balance of Bonds.
 */
export async function systemGenesisAlloc(
  parameters: LearningParameters,
  authorities: readonly Authority[],
  challenges: ChallengeParameters | null = null,
): Promise<Result<readonly SystemAccount[]>> {
  const checked = checkLearningParameters(parameters);
  if (!checked.ok) return checked;
  const members = checkAuthorities(authorities);
  if (!members.ok) return members;
  const set = members.value.map(({ address, publicKey }) => ({ account: address, publicKey }));
  const { genesisCheckpoint } = parameters;
  const model = {
    root: parameters.genesisModelRoot,
    version: 0,
    roundPlusOne: 0n,
    heldOutMicroNats: BigInt(parameters.genesisHeldOutMicroNats),
    checkpoint: {
      blobId: genesisCheckpoint.blobId,
      sha256Hash: genesisCheckpoint.sha256,
      size: genesisCheckpoint.size,
    },
  };
  const rules = { ...parameters, gateMicroNats: BigInt(parameters.gateMicroNats) };
  const stake = { ...parameters, unbondingBlocks: BigInt(parameters.unbondingBlocks) };
  const bonds = {
    ...parameters,
    // A bond outlasts the time in which its holder can still be accused, and the trial.
    unbondingBlocks: BigInt(parameters.unbondingBlocks + parameters.recheckWindowBlocks),
    trialBlocks: parameters.disputeBlocks,
  };
  const founders = members.value.map(({ address }) => address);
  const bondsHeld = parameters.authorityBondGwei * ONE_GWEI * BigInt(founders.length);
  const plans: readonly (readonly [ContractName, Hex, Uint8Array, bigint?])[] = [
    ['Authorities', AUTHORITIES_ADDRESS, encodeConstructor(authoritiesAbi, [set])],
    ['Trainers', TRAINERS_ADDRESS, encodeConstructor(trainersAbi, [stake])],
    ['LearningRounds', LEARNING_ROUNDS_ADDRESS, encodeConstructor(learningRoundsAbi, [rules, model])],
    ['Rewards', REWARDS_ADDRESS, encodeConstructor(rewardsAbi, [])],
    ['Bonds', BONDS_ADDRESS, encodeConstructor(bondsAbi, [bonds, founders]), bondsHeld],
  ];
  const accounts: SystemAccount[] = [];
  for (const [name, address, args, balance] of plans) {
    const account = await deploy(name, address, args, balance);
    if (!account.ok) return account;
    accounts.push(account.value);
  }
  if (challenges === null) return success(accounts);
  const more = await challengesAccounts(parameters, challenges, deployContract);
  return more.ok ? success([...accounts, ...more.value]) : more;
}
