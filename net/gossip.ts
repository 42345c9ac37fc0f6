// Owns the gossip topics: what is sent to whom, which messages are handed on, once each. Meaning and validity of the
// bytes are the subscriber's. Messages that gossip cannot carry (repeats, peers without a gossip stream yet) go directly.

import { check } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import type { NetLog, PeerKey, Receive, Topic, Verdict } from './api.ts';
import type { GossipSub } from './host.ts';
import type { NetLimits } from './limits.ts';
import type { Requests } from './requests.ts';
import { seenCache } from './seen-cache.ts';
import { type TokenBucket, tokenBucket } from './token-bucket.ts';

export const TOPICS: readonly Topic[] = ['consensus', 'transactions', 'learning'];

/** A joined peer as gossip sees it. */
type GossipPeer = Readonly<{ peer: PeerKey; isAuthority: boolean; joinedMs: number }>;

export type Gossip = Readonly<{
  subscribe(topic: Topic, receive: Receive): () => void;
  publish(topic: Topic, bytes: Uint8Array): Promise<Result<number>>;
  counters(): Readonly<{
    messagesIn: number;
    messagesOut: number;
    bytesIn: number;
    bytesOut: number;
    rejected: number;
  }>;
}>;

export type GossipOptions = Readonly<{
  service: GossipSub;
  requests: Requests;
  prefix: string;
  limits: NetLimits;
  peers(): readonly GossipPeer[];
  penalise(peer: PeerKey, points: number, reason: string): void;
  now(): number;
  log: NetLog;
}>;

const DIRECT_TIMEOUT_MS = 20_000;
const NOTHING = new Uint8Array(0);

export function topicName(prefix: string, topic: Topic): string {
  return `${prefix}/${topic}`;
}

export function createGossip(options: GossipOptions): Gossip {
  const { service, requests, prefix, limits, log, now } = options;
  const receivers = new Map<Topic, Receive>();
  const buckets = new Map<PeerKey, TokenBucket>();
  const published = seenCache(limits.seenMessages, limits.seenMs, now);
  const accepted = seenCache(limits.seenMessages, limits.seenMs, now);
  const rejected = seenCache(limits.seenMessages, limits.seenMs, now);
  const judging = new Map<string, Promise<Verdict>>();
  const counts = { messagesIn: 0, messagesOut: 0, bytesIn: 0, bytesOut: 0, rejected: 0 };
  const caps: Readonly<Record<Topic, number>> = {
    consensus: limits.consensusMessageBytes,
    transactions: limits.transactionsMessageBytes,
    learning: limits.learningMessageBytes,
  };

  /** Verdict on a message, asking the subscriber only the first time. Ignored ones are asked about again. */
  function judge(topic: Topic, bytes: Uint8Array, from: PeerKey): Verdict | Promise<Verdict> {
    if (bytes.length > caps[topic]) {
      options.penalise(from, limits.rejectPoints, `${topic} message of ${bytes.length} bytes`);
      return 'reject';
    }
    if (!bucketOf(from).take(1)) {
      options.penalise(from, limits.gossipFloodPoints, 'message flood');
      return 'ignore';
    }
    const id = messageId(bytes);
    if (accepted.has(id)) return 'accept';
    if (rejected.has(id)) return blame(topic, from);
    let verdict = judging.get(id);
    if (verdict === undefined) {
      verdict = ask(topic, bytes, from, id).finally(() => judging.delete(id));
      judging.set(id, verdict);
    }
    return verdict;
  }

  async function ask(topic: Topic, bytes: Uint8Array, from: PeerKey, id: string): Promise<Verdict> {
    const receive = receivers.get(topic);
    if (receive === undefined) return 'ignore';
    counts.messagesIn += 1;
    counts.bytesIn += bytes.length;
    let verdict: Verdict;
    try {
      verdict = await receive(bytes, from);
    } catch (error) {
      log('error', 'a subscriber threw', { topic, from, error: String(error) });
      return 'ignore';
    }
    if (verdict === 'accept') accepted.add(id);
    if (verdict === 'reject' || verdict === 'ban') {
      rejected.add(id);
      return blame(topic, from, verdict);
    }
    return verdict;
  }

  function blame(topic: Topic, from: PeerKey, verdict: Verdict = 'reject'): Verdict {
    counts.rejected += 1;
    options.penalise(from, verdict === 'ban' ? limits.banScore : limits.rejectPoints, `invalid ${topic} message`);
    return 'reject';
  }

  function bucketOf(peer: PeerKey): TokenBucket {
    let bucket = buckets.get(peer);
    if (bucket === undefined) {
      bucket = tokenBucket(limits.gossipPerSecond, limits.gossipBurst, now);
      buckets.set(peer, bucket);
      const oldest = buckets.keys().next().value;
      if (buckets.size > limits.bannedPeers && oldest !== undefined) buckets.delete(oldest);
    }
    return bucket;
  }

  async function publish(topic: Topic, bytes: Uint8Array): Promise<Result<number>> {
    const limit = caps[topic];
    if (bytes.length > limit) {
      return fault('message-too-large', `${topic} message of ${bytes.length} bytes is over ${limit}`, { limit });
    }
    const id = messageId(bytes);
    const isRepeat = published.has(id);
    published.add(id);
    accepted.add(id);
    counts.messagesOut += 1;
    counts.bytesOut += bytes.length;
    try {
      const reached = isRepeat ? [] : (await service.publish(topicName(prefix, topic), bytes)).recipients.map(String);
      const direct = directPeers(topic, new Set(reached), isRepeat);
      for (const peer of direct) sendDirectly(topic, bytes, peer);
      return success(reached.length + direct.length);
    } catch (error) {
      return fault('publish-failed', `publishing to ${topic} failed: ${String(error).slice(0, 200)}`, { topic });
    }
  }

  /**
   * Gossip sends a message once, whatever became of it; a repeat is meant for peers that lost or ignored it, so it goes
   * straight to all. A first sending goes directly to authorities and newcomers that gossip did not reach.
   */
  function directPeers(topic: Topic, reached: ReadonlySet<PeerKey>, isRepeat: boolean): PeerKey[] {
    const subscribed = new Set(subscribersOf(topic));
    const gossiping = new Set(TOPICS.flatMap(subscribersOf));
    const time = now();
    return options
      .peers()
      .filter(({ peer, isAuthority, joinedMs }) => {
        if (reached.has(peer)) return false;
        if (isRepeat) return isAuthority || subscribed.has(peer);
        if (isAuthority && topic === 'consensus') return true;
        const ageMs = time - joinedMs;
        return ageMs <= limits.directAfterJoinMs || (ageMs <= limits.gossipSetupMs && !gossiping.has(peer));
      })
      .map(({ peer }) => peer);
  }

  function subscribersOf(topic: Topic): PeerKey[] {
    return service.getSubscribers(topicName(prefix, topic)).map(String);
  }

  function sendDirectly(topic: Topic, bytes: Uint8Array, peer: PeerKey): void {
    requests
      .request(peer, `gossip-${topic}`, bytes, { timeoutMs: DIRECT_TIMEOUT_MS, maxBytes: 0 })
      .then((result) => {
        if (!result.ok) log('debug', 'direct message not delivered', { topic, peer, code: result.code });
      })
      .catch((error: unknown) => log('error', 'direct message failed', { topic, peer, error: String(error) }));
  }

  async function onDirect(topic: Topic, bytes: Uint8Array, from: PeerKey): Promise<Uint8Array> {
    const isNew = !accepted.has(messageId(bytes));
    const verdict = await judge(topic, bytes, from);
    // Peers that only this node reaches get it as gossip; gossip itself drops it when it has passed already.
    if (isNew && verdict === 'accept') await service.publish(topicName(prefix, topic), bytes);
    return NOTHING;
  }

  for (const topic of TOPICS) {
    service.topicValidators.set(topicName(prefix, topic), async (peer, message) => {
      return (await judge(topic, message.data, peer.toString())) as never;
    });
    requests.handle(
      `gossip-${topic}`,
      {
        maxRequestBytes: caps[topic],
        maxResponseBytes: 0,
        requestsPerSecond: limits.gossipPerSecond,
        burst: limits.gossipBurst,
        concurrentPerPeer: 32,
        timeoutMs: DIRECT_TIMEOUT_MS,
      },
      (bytes, from) => onDirect(topic, bytes, from),
    );
  }

  return {
    publish,
    subscribe(topic, receive) {
      check(!receivers.has(topic), `subscribe: ${topic} already has a subscriber`);
      receivers.set(topic, receive);
      service.subscribe(topicName(prefix, topic));
      return () => {
        if (receivers.get(topic) !== receive) return;
        receivers.delete(topic);
        service.unsubscribe(topicName(prefix, topic));
      };
    },
    counters: () => counts,
  };
}

/** SHA-256 of the data as gossip uses it, here as text for maps. */
function messageId(bytes: Uint8Array): string {
  return Buffer.from(sha256(bytes)).toString('latin1');
}
