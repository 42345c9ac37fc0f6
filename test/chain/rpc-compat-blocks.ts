// Owns reading the blocks of execution-apis' test chain, which crosses every fork: genesis, fork schedule, headers, bodies.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Hardfork } from '@ethereumjs/common';
import { RLP } from '@ethereumjs/rlp';
import { fromHex, type Hex, toBigInt, toHex } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import type { Address, BlockRecord, Hash, Header, Withdrawal } from '../../chain/api.ts';
import { blockRecord } from '../../chain/block-codec.ts';
import { EMPTY_OMMERS, EMPTY_ROOT, ZERO_BLOOM } from '../../chain/header.ts';
import { encodeRlp, type Item } from '../../chain/rlp.ts';
import { decodeTransaction } from '../../chain/transaction.ts';

export type GenesisFile = Readonly<{
  config: Readonly<Record<string, number>>;
  timestamp: Hex;
  extraData: Hex;
  gasLimit: Hex;
  difficulty: Hex;
  alloc: Readonly<
    Record<string, Readonly<{ balance?: string; nonce?: string; code?: Hex; storage?: Record<Hash, Hash> }>>
  >;
}>;

export function readGenesis(directory: string): GenesisFile {
  return JSON.parse(readFileSync(join(directory, 'genesis.json'), 'utf8')) as GenesisFile;
}

/** Forks in order, by the names of go-ethereum's genesis format. */
const BY_BLOCK: readonly (readonly [string, Hardfork])[] = [
  ['homesteadBlock', Hardfork.Homestead],
  ['eip150Block', Hardfork.TangerineWhistle],
  ['eip158Block', Hardfork.SpuriousDragon],
  ['byzantiumBlock', Hardfork.Byzantium],
  ['constantinopleBlock', Hardfork.Constantinople],
  ['petersburgBlock', Hardfork.Petersburg],
  ['istanbulBlock', Hardfork.Istanbul],
  ['muirGlacierBlock', Hardfork.MuirGlacier],
  ['berlinBlock', Hardfork.Berlin],
  ['londonBlock', Hardfork.London],
  ['arrowGlacierBlock', Hardfork.ArrowGlacier],
  ['grayGlacierBlock', Hardfork.GrayGlacier],
  ['mergeNetsplitBlock', Hardfork.Paris],
];
const BY_TIME: readonly (readonly [string, Hardfork])[] = [
  ['shanghaiTime', Hardfork.Shanghai],
  ['cancunTime', Hardfork.Cancun],
  ['pragueTime', Hardfork.Prague],
  ['osakaTime', Hardfork.Osaka],
  ['bpo1Time', Hardfork.Bpo1],
  ['bpo2Time', Hardfork.Bpo2],
];

export function forkOf(genesis: GenesisFile, number: number, timestamp: number): Hardfork {
  let fork: Hardfork = Hardfork.Chainstart;
  for (const [name, one] of BY_BLOCK) if (number >= (genesis.config[name] ?? Infinity)) fork = one;
  for (const [name, one] of BY_TIME) if (timestamp >= (genesis.config[name] ?? Infinity)) fork = one;
  return fork;
}

/** Header fields that stand in every block, in their order, then those that forks appended. */
const BYTES = 'bytes';
const NUMBER = 'number';
const BIG = 'big';
const HEADER: readonly (readonly [keyof Header, string])[] = [
  ['parentHash', BYTES],
  ['ommersHash', BYTES],
  ['coinbase', BYTES],
  ['stateRoot', BYTES],
  ['transactionsRoot', BYTES],
  ['receiptsRoot', BYTES],
  ['logsBloom', BYTES],
  ['difficulty', BIG],
  ['number', NUMBER],
  ['gasLimit', BIG],
  ['gasUsed', BIG],
  ['timestamp', NUMBER],
  ['extraData', BYTES],
  ['mixHash', BYTES],
  ['nonce', BYTES],
  ['baseFeePerGas', BIG],
  ['withdrawalsRoot', BYTES],
  ['blobGasUsed', BIG],
  ['excessBlobGas', BIG],
  ['parentBeaconBlockRoot', BYTES],
  ['requestsHash', BYTES],
];

function headerOf(items: readonly Item[]): Header {
  const header: Record<string, unknown> = {};
  for (const [i, item] of items.entries()) {
    const [name, kind] = present(HEADER[i], 'header field');
    check(item instanceof Uint8Array, 'header field: bytes');
    header[name] = kind === BYTES ? toHex(item) : kind === BIG ? toBigInt(item) : Number(toBigInt(item));
  }
  // Older headers have fewer fields than the type says; what reads them knows.
  return header as unknown as Header;
}

function withdrawalOf(item: Item): Withdrawal {
  const [index, validatorIndex, address, amount] = item as Uint8Array[];
  return {
    index: toBigInt(present(index, 'index')),
    validatorIndex: toBigInt(present(validatorIndex, 'validatorIndex')),
    address: toHex(present(address, 'address')),
    amount: toBigInt(present(amount, 'amount')),
  };
}

const NOTHING = new Uint8Array(0);

/** A block with its uncles, which only the oldest ones have. */
export type ImportedBlock = Readonly<{ block: BlockRecord; uncles: readonly Header[] }>;

/** The blocks after genesis, in order. */
export function readBlocks(directory: string): ImportedBlock[] {
  const blocks: ImportedBlock[] = [];
  let rest: Uint8Array = new Uint8Array(readFileSync(join(directory, 'chain.rlp')));
  while (rest.length > 0) {
    const { data, remainder } = RLP.decode(rest, true) as unknown as { data: Item[]; remainder: Uint8Array };
    rest = remainder;
    const [header, transactions, ommers, withdrawals] = data as [Item[], Item[], Item[], Item[] | undefined];
    blocks.push({
      uncles: ommers.map((item) => headerOf(item as Item[])),
      block: blockRecord({
        header: headerOf(header),
        transactions: transactions.map((item) =>
          unwrap(decodeTransaction(item instanceof Uint8Array ? item : encodeRlp(item))),
        ),
        withdrawals: (withdrawals ?? []).map(withdrawalOf),
        parentCertificate: NOTHING,
        vrfProof: NOTHING,
      }),
    });
  }
  return blocks;
}

export function genesisBlockOf(genesis: GenesisFile, stateRoot: Hash): BlockRecord {
  const zero: Hash = `0x${'00'.repeat(32)}`;
  const coinbase: Address = `0x${'00'.repeat(20)}`;
  const header: Partial<Header> = {
    parentHash: zero,
    ommersHash: EMPTY_OMMERS,
    coinbase,
    stateRoot,
    transactionsRoot: EMPTY_ROOT,
    receiptsRoot: EMPTY_ROOT,
    logsBloom: ZERO_BLOOM,
    difficulty: BigInt(genesis.difficulty),
    number: 0,
    gasLimit: BigInt(genesis.gasLimit),
    gasUsed: 0n,
    timestamp: Number(genesis.timestamp),
    extraData: toHex(fromHex(genesis.extraData)),
    mixHash: zero,
    nonce: '0x0000000000000000',
  };
  return blockRecord({
    header: header as Header,
    transactions: [],
    withdrawals: [],
    parentCertificate: NOTHING,
    vrfProof: NOTHING,
  });
}
