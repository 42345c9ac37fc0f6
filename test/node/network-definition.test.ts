// A genesis whose parts contradict each other is refused by name, before anything is built on it.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { unwrap } from '../../base/fault.ts';
import type { Genesis } from '../../chain/api.ts';
import { parseGenesis } from '../../chain/genesis.ts';
import { type FoundingPlan, foundNetwork } from '../../node/founding.ts';
import { networkDefinition } from '../../node/network-definition.ts';

const directory = mkdtempSync(join(tmpdir(), 'network-definition-'));
test.after.always(() => rmSync(directory, { recursive: true, force: true }));

type Changes = Readonly<Record<'learning' | 'training' | 'challenges', Readonly<Record<string, unknown>>>>;

function changed(genesis: Genesis, { learning, training, challenges }: Partial<Changes>): Genesis {
  const given = genesis.dataset['training'] as Record<string, unknown>;
  return {
    ...genesis,
    learning: { ...genesis.learning, ...learning },
    dataset: { ...genesis.dataset, training: { ...given, ...training } },
    challenges: { ...genesis.challenges, ...challenges },
  };
}

async function found(name: string, plan: Partial<FoundingPlan>): Promise<Genesis> {
  const network = unwrap(
    await foundNetwork(
      {
        directory: join(directory, name),
        authorities: 1,
        regularNodes: 1,
        chainId: 77,
        corpus: 'moby-dick',
        vocab: 300,
        modelSize: 200_000,
        modelWidths: 'dim=16,layers=1,heads=2,kvHeads=1,ffn=20,context=16',
        sequenceLength: 16,
        batchSize: 4,
        stepsPerRound: 2,
        learningRate: 0.003,
        port: 8000,
        apiPort: 8080,
        host: '127.0.0.1',
        timestamp: 1_700_000_000,
        authorityFunds: 1n,
        nodeFunds: 1n,
        funded: [],
        parameters: {},
        ...plan,
      },
      () => undefined,
    ),
  );
  return unwrap(parseGenesis(readFileSync(network.genesisFile, 'utf8')));
}

test('networks whose steps the referee does not know have no challenges, and a genesis that has them is refused', async (t) => {
  const profile = await found('profile', { profile: 'bf16x' });
  const divided = await found('divided', { microBatch: 2 });
  const { challenges } = await found('plain', {});
  t.truthy(challenges);
  for (const genesis of [profile, divided]) {
    t.is(genesis.challenges, undefined);
    t.true(networkDefinition(genesis).ok);
    const both = networkDefinition({ ...genesis, ...(challenges === undefined ? {} : { challenges }) });
    t.regex(both.ok ? 'taken' : both.message, /^genesis challenges: the referee knows no micro-batches and no profile/);
  }
});

test('updates of a step divide its batch, and challenges say the same of updates and moments', async (t) => {
  const genesis = await found('updates', { updates: 2 });
  const { rules } = unwrap(networkDefinition(genesis));
  t.like(rules, { updates: 2, batch: 4, steps: 2 });
  const refusal = (changes: Partial<Changes>): string => {
    const outcome = networkDefinition(changed(genesis, changes));
    return outcome.ok ? 'taken' : outcome.message;
  };
  t.is(refusal({}), 'taken');
  t.regex(refusal({ training: { updates: 3 } }), /updates 3 must divide learning\.batch 4/);
  t.regex(refusal({ training: { updates: 1 } }), /updates: not a whole number from 2 to 16/);
  t.regex(refusal({ training: { updates: 4 } }), /its hash 0x[0-9a-f]{64} is not learning\.trainingConfigHash/);
  t.regex(refusal({ training: { microBatch: 4 } }), /microBatch 4 must divide learning\.batch \/ updates, 2/);
  t.regex(refusal({ challenges: { updates: 1 } }), /challenges\.updates: dataset\.training says 2/);
  t.regex(refusal({ challenges: { carryMoments: true } }), /challenges\.carryMoments: dataset\.training says false/);
});
