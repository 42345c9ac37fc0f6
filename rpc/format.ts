// Owns the JSON forms of the chain's records: blocks, transactions, receipts, logs, as the Ethereum JSON-RPC specifies them.

import { type Hex, toHex } from '../base/bytes.ts';
import type {
  Authorization,
  BlockRecord,
  Header,
  Log,
  Receipt,
  Transaction,
  TransactionRecord,
  Withdrawal,
} from '../chain/api.ts';

/** QUANTITY: hex without leading zeros. */
export function quantityOf(value: bigint | number): Hex {
  return `0x${value.toString(16)}`;
}

type Json = Readonly<Record<string, unknown>>;

/** Header fields of a block object; also what newHeads sends. */
export function headerJson(header: Header, hash: Hex): Json {
  return {
    number: quantityOf(header.number),
    hash,
    parentHash: header.parentHash,
    nonce: header.nonce,
    sha3Uncles: header.ommersHash,
    logsBloom: header.logsBloom,
    transactionsRoot: header.transactionsRoot,
    stateRoot: header.stateRoot,
    receiptsRoot: header.receiptsRoot,
    miner: header.coinbase,
    difficulty: quantityOf(header.difficulty),
    extraData: header.extraData,
    gasLimit: quantityOf(header.gasLimit),
    gasUsed: quantityOf(header.gasUsed),
    timestamp: quantityOf(header.timestamp),
    mixHash: header.mixHash,
    ...laterFields(header),
  };
}

/** Fields that forks appended: all are there, but in blocks of a chain imported from before them. */
function laterFields(header: Partial<Header>): Json {
  const json: Record<string, unknown> = {};
  for (const field of ['baseFeePerGas', 'blobGasUsed', 'excessBlobGas'] as const) {
    const value = header[field];
    if (value !== undefined) json[field] = quantityOf(value);
  }
  for (const field of ['withdrawalsRoot', 'parentBeaconBlockRoot', 'requestsHash'] as const) {
    if (header[field] !== undefined) json[field] = header[field];
  }
  return json;
}

/** A block object; `full` puts whole transactions where their hashes stand otherwise. */
export function blockJson(block: BlockRecord, full: boolean): Json {
  return {
    ...headerJson(block.header, block.hash),
    size: quantityOf(block.size),
    uncles: [],
    transactions: block.transactions.map((transaction, index) =>
      full ? minedJson(placed(transaction, block, index)) : transaction.hash,
    ),
    ...(block.header.withdrawalsRoot === undefined ? {} : { withdrawals: block.withdrawals.map(withdrawalJson) }),
  };
}

function withdrawalJson(withdrawal: Withdrawal): Json {
  return {
    index: quantityOf(withdrawal.index),
    validatorIndex: quantityOf(withdrawal.validatorIndex),
    address: withdrawal.address,
    amount: quantityOf(withdrawal.amount),
  };
}

/** A transaction of a block with its place. */
export function placed(transaction: Transaction, block: BlockRecord, index: number): TransactionRecord {
  return {
    transaction,
    blockHash: block.hash,
    blockNumber: block.header.number,
    blockTimestamp: block.header.timestamp,
    index,
    baseFeePerGas: block.header.baseFeePerGas,
  };
}

/** Price paid per gas under a base fee (EIP-1559). */
export function effectiveGasPrice(transaction: Transaction, baseFee: bigint): bigint {
  if (transaction.maxFeePerGas === null) return transaction.gasPrice ?? 0n;
  const offered = baseFee + (transaction.maxPriorityFeePerGas ?? 0n);
  return offered < transaction.maxFeePerGas ? offered : transaction.maxFeePerGas;
}

export function minedJson(record: TransactionRecord): Json {
  return {
    blockHash: record.blockHash,
    blockNumber: quantityOf(record.blockNumber),
    blockTimestamp: quantityOf(record.blockTimestamp),
    transactionIndex: quantityOf(record.index),
    ...bodyJson(record.transaction, effectiveGasPrice(record.transaction, record.baseFeePerGas)),
  };
}

/** A transaction of the pool: its place is null. */
export function pendingJson(transaction: Transaction): Json {
  const price = transaction.gasPrice ?? transaction.maxFeePerGas ?? 0n;
  return {
    blockHash: null,
    blockNumber: null,
    blockTimestamp: null,
    transactionIndex: null,
    ...bodyJson(transaction, price),
  };
}

function bodyJson(transaction: Transaction, gasPrice: bigint): Json {
  const json: Record<string, unknown> = {
    hash: transaction.hash,
    from: transaction.from,
    to: transaction.to,
    gas: quantityOf(transaction.gas),
    gasPrice: quantityOf(gasPrice),
    input: toHex(transaction.input),
    nonce: quantityOf(transaction.nonce),
    value: quantityOf(transaction.value),
    type: quantityOf(transaction.type),
    v: quantityOf(transaction.v),
    r: quantityOf(transaction.r),
    s: quantityOf(transaction.s),
  };
  if (transaction.chainId !== null) json.chainId = quantityOf(transaction.chainId);
  if (transaction.type !== 0) json.yParity = quantityOf(transaction.v);
  if (transaction.maxFeePerGas !== null) json.maxFeePerGas = quantityOf(transaction.maxFeePerGas);
  if (transaction.maxPriorityFeePerGas !== null) {
    json.maxPriorityFeePerGas = quantityOf(transaction.maxPriorityFeePerGas);
  }
  if (transaction.accessList !== null) json.accessList = transaction.accessList;
  if (transaction.maxFeePerBlobGas !== undefined) json.maxFeePerBlobGas = quantityOf(transaction.maxFeePerBlobGas);
  if (transaction.blobVersionedHashes !== undefined) json.blobVersionedHashes = transaction.blobVersionedHashes;
  if (transaction.authorizationList !== null) {
    json.authorizationList = transaction.authorizationList.map(authorizationJson);
  }
  return json;
}

export function authorizationJson(item: Authorization): Json {
  return {
    chainId: quantityOf(item.chainId),
    address: item.address,
    nonce: quantityOf(item.nonce),
    yParity: quantityOf(item.yParity),
    r: quantityOf(item.r),
    s: quantityOf(item.s),
  };
}

export function logJson(log: Log): Json {
  return {
    address: log.address,
    topics: log.topics,
    data: toHex(log.data),
    blockNumber: quantityOf(log.blockNumber),
    blockHash: log.blockHash,
    blockTimestamp: quantityOf(log.blockTimestamp),
    transactionHash: log.transactionHash,
    transactionIndex: quantityOf(log.transactionIndex),
    logIndex: quantityOf(log.logIndex),
    removed: false,
  };
}

export function receiptJson(receipt: Receipt): Json {
  return {
    transactionHash: receipt.transactionHash,
    transactionIndex: quantityOf(receipt.transactionIndex),
    blockHash: receipt.blockHash,
    blockNumber: quantityOf(receipt.blockNumber),
    from: receipt.from,
    to: receipt.to,
    type: quantityOf(receipt.type),
    ...(receipt.stateRoot === undefined ? { status: quantityOf(receipt.status) } : { root: receipt.stateRoot }),
    ...(receipt.blobGas === undefined
      ? {}
      : { blobGasUsed: quantityOf(receipt.blobGas.used), blobGasPrice: quantityOf(receipt.blobGas.price) }),
    cumulativeGasUsed: quantityOf(receipt.cumulativeGasUsed),
    gasUsed: quantityOf(receipt.gasUsed),
    effectiveGasPrice: quantityOf(receipt.effectiveGasPrice),
    contractAddress: receipt.contractAddress,
    logs: receipt.logs.map(logJson),
    logsBloom: receipt.logsBloom,
  };
}
