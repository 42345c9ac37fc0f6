// Owns what the chain asks of the system contracts at every block: genesis accounts, system calls, rewards to pay.

import { type Hex, toHex } from '../../base/bytes.ts';
import { type Result, success } from '../../base/fault.ts';
import type { GenesisAccount, SystemHooks } from '../api.ts';
import type { Authority, LearningParameters } from './api.ts';
import { markPaidCall, onBlockCall } from './calls.ts';
import type { ChallengeParameters } from './challenge-parameters.ts';
import { EVIDENCE_ADDRESS, beginEvidenceCall, evidenceContract } from './evidence.ts';
import { systemGenesisAlloc } from './genesis-alloc.ts';
import { readPendingRewardsFromStorage } from './views.ts';

/** The chain's hooks into the system contracts of a network. Faults as {@link systemGenesisAlloc}. */
export async function systemHooks(
  parameters: LearningParameters,
  authorities: readonly Authority[],
  challenges: ChallengeParameters | null = null,
): Promise<Result<SystemHooks>> {
  const accounts = await systemGenesisAlloc(parameters, authorities, challenges);
  if (!accounts.ok) return accounts;
  const alloc: Record<Hex, GenesisAccount> = {};
  for (const { address, nonce, balance, code, storage } of accounts.value) {
    alloc[address] = { balance, nonce: Number(nonce), code: toHex(code), storage: Object.fromEntries(storage) };
  }
  alloc[EVIDENCE_ADDRESS] = { balance: 0n, nonce: 1, code: evidenceContract().runtimeBytecode };
  return success({
    alloc,
    // Paid entries leave the queue first, so that onBlock never meets them.
    calls: (number, paid) => [
      ...(number === 1 ? [beginEvidenceCall()] : []),
      ...(paid > 0 ? [markPaidCall(paid)] : []),
      onBlockCall(),
    ],
    rewards: async (read, max) => {
      const pending = await readPendingRewardsFromStorage(read, max);
      return pending.map(({ recipient, gwei }) => ({ address: recipient, amountGwei: gwei }));
    },
  });
}
