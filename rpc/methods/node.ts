// Owns the methods that speak of the node and the network: web3_, net_, rpc_ and the static eth_ answers.

import { toHex } from '../../base/bytes.ts';
import { keccak256 } from '../../base/hash.ts';
import { forkConfig } from '../fork-config.ts';
import { quantityOf } from '../format.ts';
import { argument, data, required } from '../params.ts';
import type { MethodTable } from './method.ts';

export const nodeMethods: MethodTable = {
  web3_clientVersion: {
    params: '',
    summary: 'Name and version of this node.',
    run: ({ ports }) => ports.node().version,
  },
  web3_sha3: {
    params: 'data',
    summary: 'Keccak-256 of the bytes.',
    run: (_context, params) => toHex(keccak256(data(required(params, 0), argument(0)))),
  },
  net_version: {
    params: '',
    summary: 'Chain id as a decimal string.',
    run: ({ chain }) => chain.chainId.toString(),
  },
  net_listening: {
    params: '',
    summary: 'True when the node listens for peers.',
    run: ({ ports }) => ports.network().listen.length > 0,
  },
  net_peerCount: {
    params: '',
    summary: 'Number of connected peers.',
    run: ({ ports }) => quantityOf(ports.network().peers.length),
  },
  rpc_modules: {
    params: '',
    summary: 'Namespaces this node serves, each with a version.',
    run: () => ({
      eth: '1.0',
      net: '1.0',
      web3: '1.0',
      rpc: '1.0',
      txpool: '1.0',
      debug: '1.0',
      erigon: '1.0',
      ots: '1.0',
      learning: '1.0',
    }),
  },
  eth_chainId: {
    params: '',
    summary: 'Chain id (EIP-695).',
    run: ({ chain }) => quantityOf(chain.chainId),
  },
  eth_config: {
    params: '',
    summary: 'Fork in force with its precompiles and system contracts (EIP-7910).',
    run: ({ chain }) => forkConfig(chain),
  },
  eth_syncing: {
    params: '',
    summary: 'False when the node is at the head it knows of, else the progress of its sync.',
    run({ ports }) {
      const syncing = ports.node().syncing;
      if (syncing === null) return false;
      return {
        startingBlock: quantityOf(syncing.startingBlock),
        currentBlock: quantityOf(syncing.currentBlock),
        highestBlock: quantityOf(syncing.highestBlock),
      };
    },
  },
  eth_accounts: {
    params: '',
    summary: 'Accounts this node signs with: none, but on development networks.',
    run: ({ ports }) => ports.wallet?.addresses() ?? [],
  },
  eth_coinbase: {
    params: '',
    summary: "Address of the node's own account.",
    run: ({ ports }) => ports.node().address,
  },
  eth_mining: {
    params: '',
    summary: 'True on an authority.',
    run: ({ ports }) => ports.node().isAuthority,
  },
  eth_hashrate: {
    params: '',
    summary: 'Always 0x0: blocks are voted, not mined.',
    run: () => '0x0',
  },
  eth_protocolVersion: {
    params: '',
    summary: 'Version of the Ethereum wire protocol clients expect to read here.',
    run: () => '0x44',
  },
};
