// Owns the benchmark of a fresh node that catches up: a chain of mostly empty blocks with the real certificates of its
// authorities lies in one node, and another in a process of its own fetches, verifies, executes and stores it.

import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromHex, toHex, u256be } from '../base/bytes.ts';
import { unwrap } from '../base/fault.ts';
import { addressOf, addressOfSecret, compressPublicKey, secp256k1, signDigest } from '../base/keys.ts';
import { ONE_POL } from '../base/units.ts';
import type { Chain, Genesis } from '../chain/api.ts';
import { openChain } from '../chain/chain.ts';
import { formatGenesis, parseGenesis } from '../chain/genesis.ts';
import { certificateOf, encodeCertificate } from '../consensus/certificate.ts';
import type { Ballot, Vote } from '../consensus/message.ts';
import { quorumOf } from '../consensus/quorum.ts';
import { ballotDigest } from '../consensus/sign-bytes.ts';
import { validatorSet, validatorSetHash } from '../consensus/validator-set.ts';
import { createAuthoritySets } from '../node/authority-sets.ts';
import { systemClock } from '../node/clock.ts';
import { createConsensusBlocks } from '../node/consensus-blocks.ts';
import { foundNetwork } from '../node/founding.ts';
import { freePorts } from '../node/free-ports.ts';
import { signTransaction } from '../node/wallet.ts';
import { CHAIN_ONLY, type Network, root, rpcTo, running } from './rpc-peers.ts';
import { round2 } from './timing.ts';

const CHAIN_ID = 504_178;
/** Every so many blocks, one carries so many transfers. */
const BUSY_EVERY = 10;
const TRANSFERS = 10;
/** Blocks of the building chain written together. */
const WRITTEN_TOGETHER = 256;
const PAYER = u256be(77n);
const POLL_MS = 20;

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

type Files = Readonly<{
  source: string;
  fresh: string;
  sourceData: string;
  freshApi: number;
  sourceApi: number;
  genesis: Genesis;
}>;

/** Two regular nodes of a network whose authorities are `secrets`; the second knows the first. */
async function makeNetwork(folder: string, secrets: readonly Uint8Array[]): Promise<Files> {
  const ports = await freePorts(6);
  const plan = {
    ...CHAIN_ONLY,
    directory: folder,
    authorities: 1,
    regularNodes: 2,
    chainId: CHAIN_ID,
    ports: ports.slice(0, 3),
    apiPorts: ports.slice(3),
    funded: [{ address: addressOfSecret(PAYER), amount: 1_000_000n * ONE_POL }],
  };
  const { genesisFile, nodes } = unwrap(await foundNetwork(plan, () => {}));
  const founded = unwrap(parseGenesis(readFileSync(genesisFile, 'utf8')));
  const authorities = secrets.map((secret) => {
    const publicKey = secp256k1.publicKey(secret);
    return { address: addressOf(publicKey), publicKey: toHex(compressPublicKey(publicKey)) };
  });
  const genesis: Genesis = { ...founded, authorities };
  writeFileSync(genesisFile, formatGenesis(genesis));
  const [source, fresh] = nodes.filter(({ isAuthority }) => !isAuthority) as [(typeof nodes)[0], (typeof nodes)[0]];
  const boot = (file: string, bootNodes: readonly string[]): void => {
    const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    writeFileSync(file, JSON.stringify({ ...config, boot_nodes: bootNodes }));
  };
  boot(source?.configFile ?? '', []);
  boot(fresh?.configFile ?? '', [`127.0.0.1:${source?.port}`]);
  return {
    source: source?.configFile ?? '',
    fresh: fresh?.configFile ?? '',
    sourceData: join(folder, 'data', source?.name ?? ''),
    sourceApi: source?.apiPort ?? 0,
    freshApi: fresh?.apiPort ?? 0,
    genesis,
  };
}

function pay(chain: Chain, nonce: bigint): void {
  const to = toHex(u256be(nonce + 1_000_000n).subarray(12));
  const fees = { maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n };
  const plain = { value: 1n, data: new Uint8Array(0), gas: 21_000n };
  const { raw } = signTransaction({ chainId: BigInt(CHAIN_ID), nonce, to, ...plain, ...fees }, PAYER);
  unwrap(chain.pool.add(raw, 0));
}

/** Fills the source's database as consensus would have: each block proposed, judged by nobody, certified by a quorum. */
async function makeChain(files: Files, secrets: readonly Uint8Array[], blocks: number): Promise<void> {
  const { genesis } = files;
  const addresses = genesis.authorities.map(({ address }) => address);
  const firstSetHash = toHex(validatorSetHash(addresses));
  const directory = join(files.sourceData, 'chain');
  const chain = unwrap(await openChain({ directory, genesis, create: true, firstSetHash }));
  const author = { secretKey: secrets[0] as Uint8Array, address: addressOfSecret(secrets[0] as Uint8Array) };
  const sets = createAuthoritySets(chain);
  const consensus = createConsensusBlocks({ chain, sets, author, clock: systemClock, log: quiet });
  const set = validatorSet(addresses);
  const domain = { chainId: chain.chainId, genesisHash: fromHex(chain.genesisHash) };
  const voters = secrets.slice(0, quorumOf(secrets.length));
  let nonce = 0n;
  for (let height = 1; height <= blocks; height++) {
    if (height % BUSY_EVERY === 0) for (let i = 0; i < TRANSFERS; i++) pay(chain, nonce++);
    const timestamp = chain.head().header.timestamp + 1;
    const built = unwrap(await consensus.build({ height, round: 0, timestamp }));
    const ballot: Ballot = { type: 'precommit', height, round: 0, value: built.hash };
    const digest = ballotDigest(domain, ballot);
    const votes = voters.map(
      (secret): Vote => ({ ...ballot, voter: addressOfSecret(secret), signature: signDigest(digest, secret) }),
    );
    const certificate = encodeCertificate(certificateOf(votes, set));
    unwrap(await consensus.commit(built, certificate, height % WRITTEN_TOGETHER !== 0));
  }
  await chain.close();
}

/** Blocks a second from the first block the fresh node shows to the last. */
async function catchUp(fresh: Network, blocks: number): Promise<Readonly<{ perSecond: number; seconds: number }>> {
  const send = rpcTo(fresh.url);
  const height = async (): Promise<number> => Number(await send('eth_blockNumber', []));
  const from = await height();
  const start = performance.now();
  let now = from;
  while (now < blocks) {
    await new Promise((done) => setTimeout(done, POLL_MS));
    now = await height();
  }
  const seconds = (performance.now() - start) / 1_000;
  return { perSecond: (blocks - from) / seconds, seconds };
}

/** Blocks a second of a fresh node behind a chain of `blocks` blocks and `authorities` authorities. */
async function measure(authorities: number, blocks: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'pol-sync-bench-'));
  const secrets = Array.from({ length: authorities }, (_, i) => u256be(BigInt(i + 1)));
  const started: Network[] = [];
  try {
    const files = await makeNetwork(folder, secrets);
    const begun = performance.now();
    await makeChain(files, secrets, blocks);
    console.log(
      `${blocks} blocks of ${authorities} authorities made in ${round2((performance.now() - begun) / 1_000)} s`,
    );
    const run = (name: string, config: string, api: number): Promise<Network> => {
      const profile = process.env['SYNC_PROFILE'];
      const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(profile, name)}`];
      const args = [...profiling, join(root, 'bin', 'pol-node.mjs'), 'run', '--config-file', config];
      return running(name, process.execPath, args, `http://127.0.0.1:${api}`, folder);
    };
    started.push(await run('source', files.source, files.sourceApi));
    started.push(await run('fresh', files.fresh, files.freshApi));
    const { perSecond, seconds } = await catchUp(started[1] as Network, blocks);
    console.log(`${authorities} authorities: ${round2(perSecond)} blocks/s, ${round2(seconds)} s`);
    const [theirs, ours] = await Promise.all(
      started.map(({ url }) => rpcTo(url)('eth_getBlockByNumber', ['latest', false]) as Promise<{ hash: string }>),
    );
    if (theirs?.hash !== ours?.hash) throw new Error('the fresh node ended on another block');
    return perSecond;
  } finally {
    for (const network of started.reverse()) await network.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function setting(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  return Number.isSafeInteger(value) && value > 0 ? value : otherwise;
}

/** SYNC_BLOCKS and SYNC_LARGE_BLOCKS change the lengths of the two chains; the last line is JSON. */
export async function main(): Promise<void> {
  const blocksPerSecond = await measure(4, setting('SYNC_BLOCKS', 10_000));
  // 100 authorities: a certificate of 67 signatures beside each block.
  const with67Signatures = await measure(100, setting('SYNC_LARGE_BLOCKS', 2_000));
  console.log(
    JSON.stringify({ blocksPerSecond: round2(blocksPerSecond), blocksPerSecond67: round2(with67Signatures) }),
  );
}
