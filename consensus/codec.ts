// Owns the wire form of consensus messages: canonical, bounded, big-endian. One message has one encoding but for its copy
// number; anything else is a Fault. Signatures are checked afterwards, by sign-bytes.ts and certificate.ts.

import { type Hex, concat, fromHex, toHex, u32be, u64be } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { type ByteReader, byteReader } from './byte-reader.ts';
import { type Certificate, decodeCertificate, encodeCertificate } from './certificate.ts';
import {
  MAX_BLOCK_BYTES,
  MAX_CERTIFICATE_BYTES,
  MAX_HEIGHT,
  MAX_MESSAGE_BYTES,
  MAX_ROUND,
  SIGNATURE_BYTES,
} from './limits.ts';
import type { Proposal, Vote } from './message.ts';

/** A block travels with its proposal; a re-proposal carries the polka that vouches for it. */
export type WireMessage =
  | Readonly<{ kind: 'proposal'; proposal: Proposal; polka: Certificate | null; block: Uint8Array }>
  | Readonly<{ kind: 'vote'; vote: Vote }>
  | Readonly<{ kind: 'polka'; certificate: Certificate }>;

/** copy 2 ‖ type 1. */
const HEAD_BYTES = 3;
const PROPOSAL = 1;
const VOTE = 2;
const POLKA = 3;
const VOTE_TYPES = ['prevote', 'precommit'] as const;
const NIL = new Uint8Array(32);

/** Bytes of a message. `copy` counts repetitions: gossip drops bytes it has seen, so a message sent again must differ. */
export function encodeMessage(message: WireMessage, copy = 0): Uint8Array {
  check(Number.isInteger(copy) && copy >= 0, 'encodeMessage: copy is a whole number');
  return concat(Uint8Array.of((copy >> 8) & 0xff, copy & 0xff), encodeBody(message));
}

function encodeBody(message: WireMessage): Uint8Array {
  switch (message.kind) {
    case 'proposal': {
      const { proposal, block } = message;
      const polka = message.polka === null ? NIL.subarray(0, 0) : encodeCertificate(message.polka);
      return concat(
        Uint8Array.of(PROPOSAL),
        head(proposal.height, proposal.round),
        u32be(proposal.validRound + 1),
        fromHex(proposal.value),
        fromHex(proposal.proposer),
        proposal.signature,
        u32be(polka.length),
        polka,
        u32be(block.length),
        block,
      );
    }
    case 'vote': {
      const { vote } = message;
      return concat(
        Uint8Array.of(VOTE, vote.type === 'prevote' ? 0 : 1),
        head(vote.height, vote.round),
        vote.value === null ? NIL : fromHex(vote.value),
        fromHex(vote.voter),
        vote.signature,
      );
    }
    case 'polka':
      return concat(Uint8Array.of(POLKA), encodeCertificate(message.certificate));
  }
}

function head(height: number, round: number): Uint8Array {
  return concat(u64be(height), u32be(round));
}

const malformed = (what: string): Fault => fault('consensus-message/malformed', `consensus message: ${what}`);

/** Message of bytes from a peer, or a Fault naming the field. */
export function decodeMessage(bytes: Uint8Array): Result<WireMessage> {
  if (bytes.length > MAX_MESSAGE_BYTES) return malformed(`longer than ${MAX_MESSAGE_BYTES} bytes`);
  const reader = byteReader(bytes);
  reader.u16();
  switch (reader.u8()) {
    case PROPOSAL:
      return decodeProposal(reader);
    case VOTE:
      return decodeVote(reader);
    case POLKA: {
      const certificate = decodeCertificate(bytes.subarray(HEAD_BYTES));
      return certificate.ok ? success({ kind: 'polka', certificate: certificate.value }) : certificate;
    }
    default:
      return malformed('unknown type');
  }
}

type Head = Readonly<{ height: number; round: number }>;

function decodeHead(reader: ByteReader): Result<Head> {
  const height = reader.u64(MAX_HEIGHT);
  if (height === null || height === 0) return malformed(`height must be 1 to ${MAX_HEIGHT}`);
  const round = reader.u32();
  if (round === null || round > MAX_ROUND) return malformed(`round must be 0 to ${MAX_ROUND}`);
  return success({ height, round });
}

function decodeHash(reader: ByteReader): Hex | null | undefined {
  const hash = reader.bytes(32);
  if (hash === null) return undefined;
  return hash.every((byte) => byte === 0) ? null : toHex(hash);
}

function decodeVote(reader: ByteReader): Result<WireMessage> {
  const type = VOTE_TYPES[reader.u8() ?? -1];
  if (type === undefined) return malformed('vote type must be 0 or 1');
  const place = decodeHead(reader);
  if (!place.ok) return place;
  const value = decodeHash(reader);
  const voter = reader.bytes(20);
  const signature = reader.bytes(SIGNATURE_BYTES);
  if (value === undefined || voter === null || signature === null) return malformed('vote cut short');
  if (reader.remaining() !== 0) return malformed('bytes after the vote');
  return success({ kind: 'vote', vote: { type, ...place.value, value, voter: toHex(voter), signature } });
}

function decodeProposal(reader: ByteReader): Result<WireMessage> {
  const place = decodeHead(reader);
  if (!place.ok) return place;
  const validRound = (reader.u32() ?? Number.NaN) - 1;
  if (!(validRound < place.value.round)) return malformed('valid round must be below the round');
  const value = decodeHash(reader);
  if (value === undefined || value === null) return malformed('a proposal names a block');
  const proposer = reader.bytes(20);
  const signature = reader.bytes(SIGNATURE_BYTES);
  if (proposer === null || signature === null) return malformed('proposal cut short');
  const polka = decodePolka(reader);
  if (!polka.ok) return polka;
  if (polka.value !== null && !vouches(polka.value, place.value.height, validRound, value)) {
    return malformed('the polka is not for this proposal');
  }
  if (polka.value === null && validRound >= 0) return malformed('a re-proposal carries its polka');
  const length = reader.u32();
  if (length === null || length > MAX_BLOCK_BYTES) return malformed(`block must be at most ${MAX_BLOCK_BYTES} bytes`);
  if (length !== reader.remaining() || length === 0) return malformed('block length does not match');
  const block = reader.bytes(length);
  if (block === null) return malformed('block cut short');
  const proposal: Proposal = { ...place.value, validRound, value, proposer: toHex(proposer), signature };
  return success({ kind: 'proposal', proposal, polka: polka.value, block });
}

function vouches(polka: Certificate, height: number, validRound: number, value: Hex): boolean {
  return polka.height === height && polka.round === validRound && polka.blockHash === value;
}

function decodePolka(reader: ByteReader): Result<Certificate | null> {
  const length = reader.u32();
  if (length === null || length > MAX_CERTIFICATE_BYTES) return malformed('polka too long');
  if (length === 0) return success(null);
  const bytes = reader.bytes(length);
  return bytes === null ? malformed('polka cut short') : decodeCertificate(bytes);
}
