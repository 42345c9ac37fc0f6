// Owns the genesis accounts of the challenge game: Challenges with its parameters, and the referee contracts it asks.

import { type Hex, fromHex } from '../../base/bytes.ts';
import { type Result, success } from '../../base/fault.ts';
import { challengesAbi, encodeConstructor } from './abi.ts';
import type { LearningParameters, SystemAccount } from './api.ts';
import type { ChallengeParameters } from './challenge-parameters.ts';
import { CHALLENGES_ADDRESS, challengesContract } from './challenges.ts';
import { REFEREE_ADDRESSES, REFEREE_NAMES, refereeContract } from './referee.ts';

type Deploy = (
  name: string,
  contract: Readonly<{ creationBytecode: Hex; runtimeBytecode: Hex }>,
  address: Hex,
  args: Uint8Array,
) => Promise<Result<SystemAccount>>;

export async function challengesAccounts(
  { steps, batch, sequenceLength }: LearningParameters,
  challenges: ChallengeParameters,
  deploy: Deploy,
): Promise<Result<readonly SystemAccount[]>> {
  const rules = { ...challenges, parameterBytes: BigInt(challenges.parameterBytes), steps, batch, sequenceLength };
  const args = encodeConstructor(challengesAbi, [rules]);
  const account = await deploy('Challenges', challengesContract(), CHALLENGES_ADDRESS, args);
  if (!account.ok) return account;
  const referees = REFEREE_NAMES.map(
    (name): SystemAccount => ({
      address: REFEREE_ADDRESSES[name],
      nonce: 1n,
      balance: 0n,
      code: fromHex(refereeContract(name).runtimeBytecode),
      storage: [],
    }),
  );
  return success([account.value, ...referees]);
}
