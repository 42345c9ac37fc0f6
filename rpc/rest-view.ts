// Owns the JSON forms of the REST side: blocks, transactions, rounds and trainers with snake_case names.

import { toHex } from '../base/bytes.ts';
import { formatPol } from '../base/units.ts';
import type { BlockRecord, Receipt, TransactionRecord } from '../chain/api.ts';
import { effectiveGasPrice, placed } from './format.ts';
import type { RoundInfo, TrainerInfo } from './ports.ts';

type View = Readonly<Record<string, unknown>>;

/** An amount as decimal POL under `name` and in the smallest unit under `name_wei`. */
function amount(name: string, value: bigint | null): View {
  return {
    [name]: value === null ? null : formatPol(value),
    [`${name}_wei`]: value === null ? null : value.toString(),
  };
}

/** A block as lists show it. */
export function summaryView(block: BlockRecord): View {
  return {
    number: block.header.number,
    hash: block.hash,
    timestamp: block.header.timestamp,
    author: block.header.coinbase,
    transaction_count: block.transactions.length,
    withdrawal_count: block.withdrawals.length,
    gas_used: Number(block.header.gasUsed),
    size: block.size,
  };
}

export function blockView(block: BlockRecord, receipts: readonly Receipt[], certificate: Uint8Array | null): View {
  const { header } = block;
  return {
    ...summaryView(block),
    parent_hash: header.parentHash,
    state_root: header.stateRoot,
    transactions_root: header.transactionsRoot,
    receipts_root: header.receiptsRoot,
    mix_hash: header.mixHash,
    next_authorities_hash: header.extraData,
    gas_limit: Number(header.gasLimit),
    base_fee_wei: header.baseFeePerGas.toString(),
    certificate: certificate === null ? null : toHex(certificate),
    transactions: block.transactions.map((transaction, index) =>
      transactionView(placed(transaction, block, index), receipts[index] ?? null),
    ),
    rewards: block.withdrawals.map((withdrawal) => ({
      index: Number(withdrawal.index),
      address: withdrawal.address,
      ...amount('amount', withdrawal.amount * 1_000_000_000n),
    })),
  };
}

export function transactionView(record: TransactionRecord, receipt: Receipt | null): View {
  const { transaction } = record;
  const price = effectiveGasPrice(transaction, record.baseFeePerGas);
  return {
    hash: transaction.hash,
    block_number: record.blockNumber,
    block_hash: record.blockHash,
    timestamp: record.blockTimestamp,
    index: record.index,
    type: transaction.type,
    from: transaction.from,
    to: transaction.to,
    contract_address: receipt?.contractAddress ?? null,
    ...amount('value', transaction.value),
    nonce: transaction.nonce,
    gas: Number(transaction.gas),
    gas_used: receipt === null ? null : Number(receipt.gasUsed),
    gas_price_wei: price.toString(),
    ...amount('fee', receipt === null ? null : receipt.gasUsed * price),
    input: toHex(transaction.input),
    status: receipt === null ? null : receipt.status === 1 ? 'success' : 'failed',
    log_count: receipt === null ? null : receipt.logs.length,
  };
}

export function roundView(round: RoundInfo): View {
  return {
    round: round.round,
    phase: round.phase,
    opened_at: round.openedAt,
    closed_at: round.closedAt,
    seed: round.seed,
    base_root: round.baseRoot,
    model_root: round.modelRoot,
    outcome: round.outcome,
    checkpoint:
      round.checkpoint === null
        ? null
        : { blob_id: round.checkpoint.blobId, sha256: round.checkpoint.sha256, size: round.checkpoint.size },
    held_out_loss: round.heldOutLoss,
    training_loss: round.trainingLoss,
    ...amount('minted', round.minted),
    contributions: round.contributions.map((contribution) => ({
      trainer: contribution.trainer,
      state: contribution.state,
      trace_root: contribution.traceRoot,
      update_root: contribution.updateRoot,
      verdicts: contribution.verdicts,
      ...amount('reward', contribution.reward),
      ...amount('slashed', contribution.slashed),
    })),
  };
}

export function trainerView(trainer: TrainerInfo): View {
  return {
    address: trainer.address,
    active: trainer.active,
    capacity: trainer.capacity,
    ...amount('stake', trainer.stake),
    rounds_accepted: trainer.roundsAccepted,
    rounds_rejected: trainer.roundsRejected,
    ...amount('earned', trainer.earned),
    ...amount('slashed', trainer.slashed),
  };
}
