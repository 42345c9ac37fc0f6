// Owns learning_: rounds, trainers and finality certificates for tools that already speak JSON-RPC; REST has the same views.

import { toHex } from '../../base/bytes.ts';
import { blockId, findNumber } from '../block-id.ts';
import { argument, count, required } from '../params.ts';
import { roundView, trainerView } from '../rest-view.ts';
import type { MethodTable } from './method.ts';

export const learningMethods: MethodTable = {
  learning_getRound: {
    params: 'round',
    summary: 'One learning round with every contribution and verdict; null when unknown.',
    cost: 5,
    async run({ ports }, params) {
      const round = await ports.learning.round(count(required(params, 0), argument(0)));
      return round === null ? null : roundView(round);
    },
  },
  learning_getTrainers: {
    params: '',
    summary: 'Registered trainers with stake, capacity and record.',
    cost: 5,
    run: async ({ ports }) => (await ports.learning.trainers()).map(trainerView),
  },
  learning_getModelRoot: {
    params: '',
    summary: "Merkle root of the newest accepted model's state.",
    cost: 5,
    run: async ({ ports }) => (await ports.learning.status()).modelRoot,
  },
  learning_getFinalityCertificate: {
    params: 'block',
    summary: 'The votes that finalised a block, as they stand beside it; null when the block is unknown.',
    async run({ chain }, params) {
      const number = await findNumber(chain, blockId(required(params, 0), argument(0)));
      const certificate = number === null ? null : await chain.certificate(number);
      return certificate === null ? null : toHex(certificate);
    },
  },
};
