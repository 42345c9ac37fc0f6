// Owns fee advice: the suggested tip, the gas price and eth_feeHistory. The base fee rule itself is the chain's.

import { present } from '../base/check.ts';
import { ONE_GWEI } from '../base/units.ts';
import type { BlockRecord, Chain, Receipt } from '../chain/api.ts';
import { effectiveGasPrice, quantityOf } from './format.ts';
import type { RpcLimits } from './limits.ts';

/** Tips below this many wei are ignored when suggesting one (geth's IgnorePrice). */
const IGNORED_TIP = 2n;
/** Share of recent tips that the suggestion outbids, in percent (geth's default). */
const TIP_PERCENTILE = 60;
/** Lowest suggestion: nodes differ in what they ignore, and this is dust. */
const FLOOR_TIP = ONE_GWEI;
/** Highest suggestion: 500 gwei, so that one mistaken sender does not set everyone's fees. */
const CEILING_TIP = 500n * ONE_GWEI;

export type FeeAdvice = Readonly<{ tip(): Promise<bigint>; gasPrice(): Promise<bigint> }>;

/** Advice from the last `limits.tipBlocks` blocks, computed once a head. */
export function feeAdvice(chain: Chain, limits: RpcLimits): FeeAdvice {
  let known: Readonly<{ head: string; tip: Promise<bigint> }> | null = null;
  function tip(): Promise<bigint> {
    const head = chain.head().hash;
    if (known === null || known.head !== head) known = { head, tip: suggestTip(chain, limits.tipBlocks) };
    return known.tip;
  }
  return { tip, gasPrice: async () => chain.nextBaseFee() + (await tip()) };
}

async function suggestTip(chain: Chain, blocks: number): Promise<bigint> {
  const tips: bigint[] = [];
  const head = chain.head().header.number;
  for (let number = head; number > 0 && number > head - blocks; number--) {
    const block = number === head ? chain.head() : await chain.blockByNumber(number);
    if (block === null) break;
    const paid = block.transactions.map((transaction) => tipOf(block, transaction)).filter((t) => t >= IGNORED_TIP);
    // The three lowest of a block: what it took to get in, as geth samples them.
    tips.push(...ascending(paid).slice(0, 3));
  }
  const sorted = ascending(tips);
  const suggestion = sorted[Math.floor(((sorted.length - 1) * TIP_PERCENTILE) / 100)] ?? FLOOR_TIP;
  if (suggestion < FLOOR_TIP) return FLOOR_TIP;
  return suggestion > CEILING_TIP ? CEILING_TIP : suggestion;
}

function tipOf(block: BlockRecord, transaction: BlockRecord['transactions'][number]): bigint {
  return effectiveGasPrice(transaction, block.header.baseFeePerGas) - block.header.baseFeePerGas;
}

function ascending(values: readonly bigint[]): bigint[] {
  return [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** eth_feeHistory's answer for `count` blocks up to `newest`; `percentiles` ascending in 0..100, null for none. */
export async function feeHistory(
  chain: Chain,
  count: number,
  newest: number,
  percentiles: readonly number[] | null,
): Promise<Readonly<Record<string, unknown>>> {
  const oldest = Math.max(0, newest - count + 1);
  const baseFees: string[] = [];
  const ratios: number[] = [];
  const rewards: string[][] = [];
  for (let number = oldest; number <= newest; number++) {
    const header = present(await chain.header(number), `header ${number}`);
    baseFees.push(quantityOf(header.baseFeePerGas));
    ratios.push(Number(header.gasUsed) / Number(header.gasLimit));
    if (percentiles !== null) rewards.push(await rewardsOf(chain, number, percentiles));
  }
  const next = await chain.header(newest + 1);
  baseFees.push(quantityOf(next === null ? chain.nextBaseFee() : next.baseFeePerGas));
  return {
    oldestBlock: quantityOf(oldest),
    baseFeePerGas: baseFees,
    gasUsedRatio: ratios,
    baseFeePerBlobGas: baseFees.map(() => '0x1'),
    blobGasUsedRatio: ratios.map(() => 0),
    ...(percentiles === null ? {} : { reward: rewards }),
  };
}

/** Tip at each percentile of the block's gas. */
async function rewardsOf(chain: Chain, number: number, percentiles: readonly number[]): Promise<string[]> {
  const block = present(await chain.blockByNumber(number), `block ${number}`);
  const receipts = present(await chain.receipts(number), `receipts ${number}`);
  const paid = receipts
    .map((receipt: Receipt) => ({ tip: receipt.effectiveGasPrice - block.header.baseFeePerGas, gas: receipt.gasUsed }))
    .sort((a, b) => (a.tip < b.tip ? -1 : a.tip > b.tip ? 1 : 0));
  const total = Number(block.header.gasUsed);
  let at = 0;
  let gas = Number(paid[0]?.gas ?? 0n);
  return percentiles.map((percentile) => {
    while (at < paid.length - 1 && gas < (total * percentile) / 100) gas += Number(paid[++at]?.gas ?? 0n);
    return quantityOf(paid[at]?.tip ?? 0n);
  });
}
