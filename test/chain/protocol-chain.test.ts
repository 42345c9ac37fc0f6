// Owns a learning round on a whole chain: real contracts, signed transactions, system calls, rewards minted by withdrawals.

import test from 'ava';
import { unwrap } from '../../base/fault.ts';
import { ONE_GWEI, ONE_POL } from '../../base/units.ts';
import type { Chain, Transaction } from '../../chain/api.ts';
import { auditState } from '../../chain/audit.ts';
import { encodeBlock } from '../../chain/block-codec.ts';
import { openChain } from '../../chain/chain.ts';
import { type ContractCall, LEAF_BYTES, LEARNING_ROUNDS_ADDRESS, type ViewCall } from '../../chain/system/api.ts';
import {
  attestCall,
  commitCall,
  commitVerdictsCall,
  registerCall,
  revealVerdictsCall,
} from '../../chain/system/calls.ts';
import { decodeSystemLog } from '../../chain/system/events.ts';
import { learningParametersJson } from '../../chain/system/parameters.ts';
import { DRAW_PROOF_BYTES, encodeEntries, verdictsHash } from '../../chain/system/verdicts.ts';
import { readCurrentRound, readModel, readSupply } from '../../chain/system/views.ts';
import { toHex } from '../../base/bytes.ts';
import { alice, authority, build, certificateOf, type Key, mine, signed, testChain, testGenesis } from './support.ts';
import { hashOf, testParameters } from './system-world.ts';

const parameters = { ...testParameters, minTrainers: 1 };
const genesis = testGenesis({
  learning: learningParametersJson(parameters),
  alloc: { [alice.address]: { balance: 1_000n * ONE_POL }, [authority.address]: { balance: 10n * ONE_POL } },
});

function view(chain: Chain): ViewCall {
  return async (to, data) => unwrap(await chain.call({ to, data }, chain.head().header.number)).returned;
}

async function send(chain: Chain, from: Key, call: ContractCall): Promise<Transaction> {
  const nonce = await unwrap(chain.state(chain.head().header.number)).nonce(from.address);
  return signed(from, nonce, { to: call.to, data: call.data, value: call.value, gas: 5_000_000n });
}

async function mineOk(chain: Chain, transactions: readonly Transaction[]) {
  const candidate = await mine(chain, transactions);
  for (const receipt of candidate.receipts)
    if (receipt.status !== 1) throw new Error(`transaction ${receipt.transactionIndex} failed`);
  return candidate;
}

async function waitFor(chain: Chain, phase: string): Promise<number> {
  for (let i = 0; i < 20; i++) {
    const round = await readCurrentRound(view(chain));
    if (round?.phase === phase) return round.round;
    await mine(chain);
  }
  throw new Error(`no round reached ${phase}`);
}

test('a round is opened, committed, audited, attested, paid and minted, and a second node agrees on every block', async (t) => {
  const { chain, dispose } = await testChain({ genesis, system: undefined as never });
  const peer = await testChain({ genesis, system: undefined as never });
  t.teardown(dispose);
  t.teardown(peer.dispose);
  const events: string[] = [];
  chain.onHead(({ receipts, systemLogs }) => {
    const logs = [...systemLogs, ...receipts.flatMap((receipt) => [...receipt.logs])];
    for (const log of logs) events.push(decodeSystemLog({ ...log, data: toHex(log.data) })?.kind ?? 'unknown');
  });
  await mineOk(chain, [await send(chain, alice, registerCall(1, 20n * ONE_POL))]);
  const round = await waitFor(chain, 'training');
  const model = await readModel(view(chain));
  const commitment = {
    round,
    baseRoot: model.root,
    traceRoot: hashOf('trace'),
    gradChainHead: hashOf('chain'),
    finalStateRoot: hashOf('final'),
    updateHash: hashOf('update'),
    residualRoot: hashOf('residual'),
    canaryHash: hashOf('none'),
    updateSize: 1_000n,
    kernelSpec: parameters.kernelSpec,
    programHash: parameters.programHash,
    leaves: new Uint8Array(parameters.steps * LEAF_BYTES),
  };
  await mineOk(chain, [await send(chain, alice, commitCall(commitment))]);
  await waitFor(chain, 'auditing');
  const entries = encodeEntries([{ seat: 0, verdict: 'valid', step: 0, digest: hashOf('digest') }]);
  const hidden = verdictsHash(round, authority.address, entries, hashOf('nonce'));
  await mineOk(chain, [await send(chain, authority, commitVerdictsCall(round, hidden))]);
  const proof = toHex(new Uint8Array(DRAW_PROOF_BYTES));
  await mineOk(chain, [await send(chain, authority, revealVerdictsCall(round, entries, hashOf('nonce'), proof))]);
  await waitFor(chain, 'attesting');
  const attestation = {
    round,
    modelRoot: hashOf('model 1'),
    heldOutMicroNats: 0,
    checkpoint: { blobId: hashOf('blob'), sha256: hashOf('sha'), size: 9n },
  };
  await mineOk(chain, [await send(chain, authority, attestCall(attestation))]);
  for (let i = 0; i < 4; i++) await mine(chain);
  t.is((await readModel(view(chain))).root, hashOf('model 1'));
  const supply = await readSupply(view(chain));
  t.true(supply.paidGwei > 0n);
  t.is(chain.statistics().minted, supply.paidGwei * ONE_GWEI);
  t.false(events.includes('unknown'), events.join(' '));
  for (let number = 1; number <= chain.head().header.number; number++) {
    const wire = await chain.wireBlock(number);
    unwrap(await peer.chain.importBlock(wire ?? new Uint8Array(0), certificateOf(number)));
  }
  t.is(peer.chain.head().hash, chain.head().hash);
  const { stateRoot } = chain.head().header;
  t.true((await peer.chain.systemLogs(2))?.every((log) => log.address === LEARNING_ROUNDS_ADDRESS) ?? false);
  await peer.chain.close();
  const audit = unwrap(await auditState(peer.directory, stateRoot));
  t.true(audit.slots > 20);
});

test('a withdrawal that no reward is due for is refused', async (t) => {
  const { chain, dispose } = await testChain({ genesis, system: undefined as never });
  t.teardown(dispose);
  const { block } = await build(chain);
  t.deepEqual(block.withdrawals, []);
  const forged = { index: 0n, validatorIndex: 0n, address: alice.address, amount: 1n };
  const refused = await chain.validateBlock(encodeBlock({ ...block, withdrawals: [forged] }));
  t.regex(refused.ok ? '' : refused.message, /^block\.withdrawals: not the 0 due rewards/);
});

test('a genesis file whose learning section is wrong names the field', async (t) => {
  const refused = await openChain({
    directory: '/nowhere',
    genesis: testGenesis({ learning: { steps: 0 } }),
    create: true,
  });
  t.regex(refused.ok ? '' : refused.message, /^learning\./);
});
