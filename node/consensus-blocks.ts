// Owns what consensus asks of the chain: building, judging and committing blocks, with the rules the chain itself cannot check:
// author, beacon proof, next authority set, parent certificate.

import { equal, fromHex, toHex, type Hex } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import type { BlockRecord, Chain, Header } from '../chain/api.ts';
import { decodeHeader } from '../chain/block-codec.ts';
import { decodeCertificate, verifyCertificate } from '../consensus/certificate.ts';
import type { Findings } from '../consensus/findings.ts';
import { proveBeacon, verifyBeacon } from '../consensus/mix.ts';
import { validatorSet, validatorSetHash } from '../consensus/validator-set.ts';
import type { AuthoritySets } from './authority-sets.ts';
import type { Clock } from './clock.ts';
import type { ConsensusBlocks } from './consensus-options.ts';
import { BUILD_ALONE_MS, BUILD_BUDGET_MS } from './limits.ts';
import type { Logger } from './logger.ts';

const refuse = (field: string, why: string): Fault => fault('block', `block ${field}: ${why}`, { field });

export type ConsensusBlocksOptions = Readonly<{
  chain: Chain;
  sets: AuthoritySets;
  /** Key and address of an authority, or null. */
  author: Readonly<{ secretKey: Uint8Array; address: Hex }> | null;
  clock: Clock;
  log: Logger;
}>;

export function createConsensusBlocks(options: ConsensusBlocksOptions): ConsensusBlocks {
  const { chain, sets, author, clock, log } = options;
  /** Authorities that decided the head, to check its certificate in the child. */
  const deciders = new Map<number, readonly Hex[]>();
  /** Certificate the head was committed with, which was verified then; most children carry the same bytes. */
  let known: Readonly<{ height: number; certificate: Uint8Array }> | null = null;

  /** The mix a block's proof leads to: as it was found for this parent and key, or worked out here. */
  function mixAfter(block: BlockRecord, parent: Header, publicKey: Hex, found: Findings['beacon']): Uint8Array | null {
    if (found !== null && found.parentMix === parent.mixHash && found.publicKey === publicKey) {
      return found.mix === null ? null : fromHex(found.mix);
    }
    const { header, vrfProof } = block;
    return verifyBeacon(chain.chainId, header.number, fromHex(parent.mixHash), fromHex(publicKey), vrfProof);
  }

  async function checkBlock(
    block: BlockRecord,
    parent: Header,
    found: Findings['beacon'] = null,
  ): Promise<Fault | null> {
    const { header, parentCertificate } = block;
    const set = await sets.at(header.number);
    const member = set.members.find(({ address }) => address === header.coinbase);
    if (member === undefined)
      return refuse('coinbase', `${header.coinbase} is no authority of height ${header.number}`);
    const mix = mixAfter(block, parent, member.publicKey, found);
    if (mix === null) return refuse('vrfProof', "not the author's proof over the parent's mix");
    if (!equal(mix, fromHex(header.mixHash))) return refuse('mixHash', 'not the mix the proof leads to');
    const nextSet = validatorSetHash(await sets.addresses(header.number + 1));
    if (!equal(nextSet, fromHex(header.extraData)))
      return refuse('extraData', 'not the hash of the next authority set');
    return checkParentCertificate(header, parentCertificate);
  }

  async function checkParentCertificate(header: Header, bytes: Uint8Array): Promise<Fault | null> {
    const height = header.number - 1;
    if (height === 0) return bytes.length === 0 ? null : refuse('parentCertificate', 'genesis has none');
    if (known?.height === height && equal(known.certificate, bytes)) return null;
    const certificate = decodeCertificate(bytes);
    if (!certificate.ok) return refuse('parentCertificate', certificate.message);
    const verified = verifyCertificate(certificate.value, {
      domain: { chainId: chain.chainId, genesisHash: fromHex(chain.genesisHash) },
      validators: validatorSet(await decidersOf(height)),
      type: 'precommit',
      height,
      blockHash: header.parentHash,
    });
    return verified.ok ? null : refuse('parentCertificate', verified.message);
  }

  /** The set that decided the head's height: remembered, or (after a restart) read from the state before it. */
  async function decidersOf(height: number): Promise<readonly Hex[]> {
    return deciders.get(height) ?? sets.addresses(height);
  }

  return {
    head() {
      const { hash, header } = chain.head();
      return { height: header.number, hash, timestamp: header.timestamp };
    },
    identify(wire) {
      const decoded = decodeHeader(wire, chain.limits);
      if (!decoded.ok) return decoded;
      const { hash, header } = decoded.value;
      return success({ height: header.number, hash, timestamp: header.timestamp, parentHash: header.parentHash });
    },
    async build({ height, timestamp }) {
      if (author === null) return fault('build', 'this node is no authority');
      const parent = chain.head();
      const { proof, mix } = proveBeacon(chain.chainId, height, fromHex(parent.header.mixHash), author.secretKey);
      const certificate =
        parent.header.number === 0 ? new Uint8Array(0) : await chain.certificate(parent.header.number);
      if (certificate === null) return fault('build', 'the certificate of the head is missing');
      const baseFee = chain.nextBaseFee();
      const isAlone = (await sets.addresses(height)).length === 1;
      const started = clock.monotonic();
      const candidate = await chain.buildBlock({
        timestamp,
        author: author.address,
        mix: toHex(mix),
        vrfProof: proof,
        parentCertificate: certificate,
        nextSetHash: toHex(validatorSetHash(await sets.addresses(height + 1))),
        transactions: chain.pool.select({ baseFee, gasLimit: parent.header.gasLimit }),
        budget: { budgetMs: isAlone ? BUILD_ALONE_MS : BUILD_BUDGET_MS, now: () => clock.monotonic() - started },
      });
      if (!candidate.ok) return candidate;
      for (const { hash, fault: reason } of candidate.value.left) {
        log.debug('transaction left out', { hash, reason: reason.message });
      }
      return success({ wire: candidate.value.wire, hash: candidate.value.hash });
    },
    async validate(wire) {
      const candidate = await chain.validateBlock(wire, (block, header) => checkBlock(block, header));
      return candidate.ok ? success(null) : candidate;
    },
    async commit({ wire, hash, findings }, certificate, isHeld = false) {
      const candidate: Result<NonNullable<ReturnType<Chain['candidate']>>> = await candidateOf(wire, hash, findings);
      if (!candidate.ok) return candidate;
      const height = candidate.value.block.header.number;
      const decided = await sets.addresses(height);
      await chain.commit(candidate.value, certificate, { isHeld });
      known = { height, certificate };
      deciders.set(height, decided);
      deciders.delete(height - 2);
      return success(null);
    },
    settle: () => chain.settle(),
  };

  async function candidateOf(
    wire: Uint8Array,
    hash: Hex,
    findings: Findings | undefined,
  ): Promise<Result<NonNullable<ReturnType<Chain['candidate']>>>> {
    const known = chain.candidate(hash);
    if (known !== null) return success(known);
    const judge = (block: BlockRecord, parent: Header) => checkBlock(block, parent, findings?.beacon);
    return chain.validateBlock(wire, judge, findings?.senders);
  }
}
