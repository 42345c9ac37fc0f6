// Owns hostile cases on the consensus topic: votes, proposals and certificates that are forged, misplaced or countless, sent by
// strangers and by an authority that cheats.

import { type Hex, concat, toHex, u32be, u64be } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { signDigest } from '../../base/keys.ts';
import { decodeBlock, encodeBlock } from '../../chain/block-codec.ts';
import { headerHash } from '../../chain/header.ts';
import { DEFAULT_LIMITS } from '../../chain/limits.ts';
import { type WireMessage, encodeMessage } from '../../consensus/codec.ts';
import type { Vote } from '../../consensus/message.ts';
import { ballotDigest, offerDigest } from '../../consensus/sign-bytes.ts';
import { systemClock } from '../../node/clock.ts';
import { blockHash, heightOf } from './harness.ts';
import { type HostileCase, type Target, expect, within } from './hostile-cases.ts';
import { type Villain, withVillain } from './hostile-peer.ts';

const BAN_MS = 60_000;
const NOTHING = new Uint8Array(0);
/** What is sent about a height may come when it is over, and is ignored then: it is sent again about the next. */
const AGAIN_MS = 300;

type Message = (height: number) => readonly Uint8Array[];

const domainOf = ({ chainId, genesisHash }: Target) => ({ chainId, genesisHash });

/** A vote of the cheating authority, or of another key. */
function voteOf(
  target: Target,
  height: number,
  value: Hex | null,
  secretKey = target.cheat.secretKey,
  voter: string = target.cheat.address,
): Vote {
  const ballot = { type: 'prevote', height, round: 0, value } as const;
  return { ...ballot, voter, signature: signDigest(ballotDigest(domainOf(target), ballot), secretKey) };
}

function proposalOf(
  target: Target,
  height: number,
  round: number,
  block: Uint8Array,
  value: Hex,
  validRound = -1,
): WireMessage {
  const offer = { height, round, validRound, value };
  const signature = signDigest(offerDigest(domainOf(target), offer), target.cheat.secretKey);
  return { kind: 'proposal', proposal: { ...offer, proposer: target.cheat.address, signature }, polka: null, block };
}

/** Rounds below `most` in which the cheating authority proposes, or does not. */
function turns(target: Target, height: number, isTurn: boolean, most = 8): number[] {
  const { authorities, cheat } = target;
  const rounds = Array.from({ length: most }, (_, round) => round);
  return rounds.filter((round) => (authorities[(height + round) % authorities.length] === cheat.address) === isTurn);
}

async function say(one: Villain, target: Target, message: Message): Promise<void> {
  const height = (await heightOf(target.node)) + 1;
  for (const at of [height, height + 1]) for (const bytes of message(at)) await one.node.publish('consensus', bytes);
}

/** The sender of these is banned, however often it takes to meet the height in progress. */
function isBanned(message: (target: Target) => Message): HostileCase['run'] {
  return (target) =>
    withVillain(target, async (one) => {
      const make = message(target);
      await within(BAN_MS, 'the ban', async () => {
        if (!one.isOut()) await say(one, target, make);
        await systemClock.sleep(AGAIN_MS);
        return one.isOut();
      });
    });
}

/** The sender of these stays a peer, and the chain goes on. */
function isDropped(message: (target: Target) => Message): HostileCase['run'] {
  return (target) =>
    withVillain(target, async (one) => {
      const height = await heightOf(target.node);
      await say(one, target, message(target));
      await within(60_000, 'the next blocks', async () => (await heightOf(target.node)) >= height + 2);
      expect(!one.isOut(), 'the sender stays');
    });
}

const patched = (bytes: Uint8Array, at: number, value: Uint8Array): Uint8Array => {
  const out = bytes.slice();
  out.set(value, at);
  return out;
};

/** copy 2, type 1, kind 1, height 8, round 4: where the fields of a vote lie; a proposal has no kind. */
const VOTE_HEIGHT = 4;
const VOTE_ROUND = 12;
const PROPOSAL_VALID_ROUND = 15;
const PROPOSAL_VALUE = 19;
/** Votes of strangers sent at a time. */
const STRANGERS = 6;
/** Times the votes are sent until they are in time. */
const FLOODS = 6;
const BLOCKS = 60;

const FORGED: readonly HostileCase[] = [
  {
    number: 10,
    what: 'votes of a stranger are dropped, and a few of them cost the connection',
    // A few at a time: of a height that is not in progress they are only dropped, and what little they cost is forgotten.
    run: isBanned(
      (target) => (height) =>
        Array.from({ length: STRANGERS }, () => {
          const key = target.random.bytes(32).fill(1, 0, 1);
          const value = toHex(target.random.bytes(32));
          const voter = toHex(target.random.bytes(20));
          return encodeMessage({ kind: 'vote', vote: voteOf(target, height, value, key, voter) });
        }),
    ),
  },
  {
    number: 11,
    what: 'a forged signature, a high s and v = 29 are banned for',
    async run(target) {
      const changes: ((vote: Vote) => Uint8Array)[] = [
        ({ signature }) => patched(signature, 5, Uint8Array.of((signature[5] as number) ^ 1)),
        ({ signature }) => patched(signature, 64, Uint8Array.of(29)),
        ({ signature }) => patched(signature, 32, new Uint8Array(16).fill(255)),
      ];
      for (const change of changes) {
        await isBanned(() => (height) => {
          const vote = voteOf(target, height, toHex(target.random.bytes(32)));
          return [encodeMessage({ kind: 'vote', vote: { ...vote, signature: change(vote) } })];
        })(target);
      }
    },
  },
  {
    number: 12,
    what: 'round 1,001 and a height beyond 2^48 are banned for',
    async run(target) {
      for (const [at, value] of [
        [VOTE_ROUND, u32be(1_001)],
        [VOTE_HEIGHT, Uint8Array.of(0, 32, 0, 0, 0, 0, 0, 0)],
      ] as const) {
        await isBanned(() => (height) => [
          patched(encodeMessage({ kind: 'vote', vote: voteOf(target, height, null) }), at, value),
        ])(target);
      }
    },
  },
  {
    number: 13,
    what: 'a vote a thousand heights ahead is dropped',
    run: isDropped((target) => (height) => [
      encodeMessage({ kind: 'vote', vote: voteOf(target, height + 1_000, toHex(target.random.bytes(32))) }),
    ]),
  },
  {
    number: 14,
    what: 'a proposal of nothing, or with a valid round not below its round, is banned for',
    async run(target) {
      for (const [at, value] of [
        [PROPOSAL_VALID_ROUND, u32be(9)],
        [PROPOSAL_VALUE, new Uint8Array(32)],
      ] as const) {
        await isBanned(() => (height) => {
          const block = target.random.bytes(100);
          return [
            patched(encodeMessage(proposalOf(target, height, 2, block, toHex(target.random.bytes(32)))), at, value),
          ];
        })(target);
      }
    },
  },
];

/** Does it until the log says so: what arrives after its height was decided proves nothing, and on a busy machine some does. */
async function untilLogged(target: Target, line: string, attack: (target: Target) => Promise<void>): Promise<void> {
  const seen = () => target.log().includes(line);
  for (let tries = 1; !seen(); tries++) {
    await attack(target);
    const found = within(5_000, `${line} in the log`, seen);
    await (tries < FLOODS ? found.catch(() => undefined) : found);
  }
}

const MISPLACED: readonly HostileCase[] = [
  {
    number: 15,
    what: 'an authority that proposes out of turn is banned for it, and the log keeps it',
    async run(target) {
      const outOfTurn = isBanned(
        () => (height) =>
          turns(target, height, false).map((round) =>
            encodeMessage(proposalOf(target, height, round, target.random.bytes(100), toHex(target.random.bytes(32)))),
          ),
      );
      await untilLogged(target, '"msg":"wrong-proposer"', outOfTurn);
    },
  },
  {
    number: 16,
    what: 'certificates with absurd counts, signers out of bounds or junk signatures are banned for',
    async run(target) {
      const count = target.authorities.length;
      const head = (height: number, signers: number): Uint8Array =>
        concat(
          new Uint8Array(4),
          u32be(height),
          u32be(0),
          target.random.bytes(32),
          Uint8Array.of(signers >> 8, signers & 255),
        );
      const polka = (...parts: Uint8Array[]): Uint8Array => concat(Uint8Array.of(0, 0, 3), ...parts);
      const certificates: ((height: number) => Uint8Array)[] = [
        (height) => polka(head(height, 65_535), new Uint8Array(8_192).fill(255), target.random.bytes(65 * 20)),
        (height) => polka(head(height, count), Uint8Array.of(0xff), target.random.bytes(65 * 8)),
        (height) => polka(head(height, count), Uint8Array.of(7), target.random.bytes(65 * 4)),
        (height) => polka(head(height, count), Uint8Array.of(15), target.random.bytes(65 * 4).fill(0, 64, 65)),
      ];
      for (const make of certificates) await isBanned(() => (height) => [make(height)])(target);
    },
  },
  {
    number: 17,
    what: 'many votes for different blocks in one round: two are kept, as evidence',
    async run(target) {
      const flood = isDropped(
        () => (height) =>
          Array.from({ length: BLOCKS }, () =>
            encodeMessage({ kind: 'vote', vote: voteOf(target, height, toHex(target.random.bytes(32))) }),
          ),
      );
      await untilLogged(target, '"msg":"equivocation"', flood);
    },
  },
  {
    number: 19,
    what: 'a proposal whose bytes are no block in canonical form is banned for',
    run: isBanned(
      (target) => (height) =>
        turns(target, height, true).map((round) =>
          encodeMessage(
            proposalOf(
              target,
              height,
              round,
              concat(Uint8Array.of(0xf9, 0xff, 0xff), target.random.bytes(300)),
              toHex(target.random.bytes(32)),
            ),
          ),
        ),
    ),
  },
];

/** The head block of the node with another height and time, as the next one. */
async function blockFromTheFuture(one: Villain, height: number): Promise<Readonly<{ wire: Uint8Array; hash: Hex }>> {
  const peer = present(one.node.peers()[0], 'peer').peer;
  const asked = concat(u64be(height - 1), u32be(1));
  const answer = unwrap(await one.node.request(peer, 'blocks', asked, { timeoutMs: 10_000, maxBytes: 4_000_000 }));
  const length = new DataView(answer.buffer, answer.byteOffset).getUint32(0);
  const block = unwrap(decodeBlock(answer.slice(4, 4 + length), DEFAULT_LIMITS));
  const { hash: parentHash } = block;
  const header = { ...block.header, parentHash, number: height, timestamp: block.header.timestamp + 3_600 };
  return { wire: encodeBlock({ ...block, header }), hash: headerHash(header) };
}

const TIMES: readonly HostileCase[] = [
  {
    number: 20,
    what: 'a block an hour from the future is not decided, and the chain goes on',
    run: (target) =>
      withVillain(target, async (one) => {
        const start = await heightOf(target.node);
        let said = 0;
        const stamped = new Set<string>();
        await within(60_000, 'a turn of the cheating authority', async () => {
          const height = (await heightOf(target.node)) + 1;
          const future = await blockFromTheFuture(one, height).catch(() => null);
          for (const round of future === null ? [] : turns(target, height, true, 2)) {
            const message = proposalOf(target, height, round, future?.wire ?? NOTHING, future?.hash ?? '0x');
            await one.node.publish('consensus', encodeMessage(message));
            stamped.add(future?.hash ?? '');
            said++;
          }
          await systemClock.sleep(AGAIN_MS);
          return said >= 2 && (await heightOf(target.node)) >= start + 2;
        });
        for (let height = start; height <= (await heightOf(target.node)); height++) {
          expect(!stamped.has(await blockHash(target.node, height)), 'the block was not decided');
        }
      }),
  },
];

export const VOTE_CASES: readonly HostileCase[] = [...FORGED, ...MISPLACED, ...TIMES];
