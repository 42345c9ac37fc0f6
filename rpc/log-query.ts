// Owns log criteria: the object that eth_getLogs, eth_newFilter and log subscriptions share, and matching against it.

import type { Address, Chain, Hash, Log, LogFilter } from '../chain/api.ts';
import { blockId, findNumber } from './block-id.ts';
import { invalidParams, refused } from './errors.ts';
import type { RpcLimits } from './limits.ts';
import { absent, address, hash, list, object } from './params.ts';

/** Addresses and topics wanted. */
export type LogCriteria = Pick<LogFilter, 'addresses' | 'topics'>;

/** Criteria with the range of a filter: `fromBlock` null is the head at the time of asking. */
export type LogQuery = Readonly<{ filter: LogCriteria; fromBlock: number | null; untilBlock: number }>;

/** Most topic positions a log has (LOG4). */
const TOPIC_POSITIONS = 4;

export function logCriteria(value: unknown, where: string, limits: RpcLimits): LogCriteria {
  const wanted = object(value ?? {}, where);
  return {
    addresses: addresses(wanted.address, `${where}.address`, limits),
    topics: topics(wanted.topics, `${where}.topics`, limits),
  };
}

function addresses(value: unknown, where: string, limits: RpcLimits): readonly Address[] {
  if (absent(value)) return [];
  if (!Array.isArray(value)) return [address(value, where)];
  return list(value, where, limits.logAddresses).map((item, i) => address(item, `${where}[${i}]`));
}

function topics(value: unknown, where: string, limits: RpcLimits): LogCriteria['topics'] {
  if (absent(value)) return [];
  return list(value, where, TOPIC_POSITIONS).map((position, i) => {
    const at = `${where}[${i}]`;
    if (absent(position)) return null;
    if (!Array.isArray(position)) return [hash(position, at)];
    const alternatives = list(position, at, limits.logTopics);
    // A null or an empty list among the alternatives matches anything, as in geth.
    if (alternatives.length === 0 || alternatives.some(absent)) return null;
    return alternatives.map((item, j) => hash(item, `${at}[${j}]`));
  });
}

/** eth_getLogs: criteria with a checked range inside the chain and within its limit. */
export async function logFilter(chain: Chain, value: unknown, where: string, limits: RpcLimits): Promise<LogFilter> {
  const criteria = logCriteria(value, where, limits);
  const wanted = object(value ?? {}, where);
  if (!absent(wanted.blockHash)) {
    if (!absent(wanted.fromBlock) || !absent(wanted.toBlock)) {
      throw invalidParams('cannot specify both blockHash and fromBlock/toBlock, choose one or the other');
    }
    const number = await chain.numberOf(hash(wanted.blockHash, `${where}.blockHash`));
    if (number === null) throw refused('unknown block');
    return { ...criteria, fromBlock: number, toBlock: number };
  }
  const fromBlock = await bound(chain, wanted.fromBlock, `${where}.fromBlock`);
  const toBlock = await bound(chain, wanted.toBlock, `${where}.toBlock`);
  if (fromBlock > toBlock) throw invalidParams('invalid block range params');
  const range = chain.limits.logsRange;
  if (toBlock - fromBlock >= range) {
    throw invalidParams(
      `block range of ${toBlock - fromBlock + 1} exceeds the limit of ${range} blocks; ask for ${fromBlock} to ${fromBlock + range - 1}`,
      { limit: range },
    );
  }
  return { ...criteria, fromBlock, toBlock };
}

async function bound(chain: Chain, value: unknown, where: string): Promise<number> {
  const number = await findNumber(chain, blockId(value, where));
  if (number === null) throw invalidParams('block range extends beyond current head block');
  return number;
}

/** eth_newFilter: blocks that are not there yet may be named. */
export function logQuery(value: unknown, where: string, limits: RpcLimits): LogQuery {
  const filter = logCriteria(value, where, limits);
  const wanted = object(value ?? {}, where);
  if (!absent(wanted.blockHash))
    throw invalidParams(`invalid ${where}.blockHash: a filter follows the chain; use eth_getLogs`);
  const from = absent(wanted.fromBlock) ? null : blockId(wanted.fromBlock, `${where}.fromBlock`);
  const to = absent(wanted.toBlock) ? null : blockId(wanted.toBlock, `${where}.toBlock`);
  if (from?.kind === 'hash' || to?.kind === 'hash')
    throw invalidParams(`invalid ${where}: a range is given by numbers`);
  const fromBlock = from?.kind === 'number' ? Number(from.number) : null;
  const untilBlock = to?.kind === 'number' ? Number(to.number) : Number.MAX_SAFE_INTEGER;
  if (fromBlock !== null && fromBlock > untilBlock) throw invalidParams('invalid block range params');
  return { filter, fromBlock, untilBlock };
}

/** True when the log has one of the addresses and, position by position, one of the topics. */
export function logMatches(log: Pick<Log, 'address' | 'topics'>, criteria: LogCriteria): boolean {
  if (criteria.addresses.length > 0 && !criteria.addresses.includes(log.address)) return false;
  return criteria.topics.every((wanted, i) => {
    if (wanted === null) return true;
    const topic: Hash | undefined = log.topics[i];
    return topic !== undefined && wanted.includes(topic);
  });
}
