// Owns viem clients of a served chain: a reader, a wallet of the first funded account, and viem's view of the network.

import { type Hex, createPublicClient, createWalletClient, defineChain, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import type { LiveFixture } from './live-chain.ts';

export function clients({ url, accounts }: LiveFixture) {
  const chain = defineChain({
    id: 504_101,
    name: 'pol-node',
    nativeCurrency: { name: 'POL', symbol: 'POL', decimals: 18 },
    rpcUrls: { default: { http: [url] } },
  });
  const transport = http(url, { batch: true });
  const signer = privateKeyToAccount(accounts[0]?.secret as Hex);
  return {
    signer,
    reader: createPublicClient({ chain, transport, pollingInterval: 30 }),
    wallet: createWalletClient({ chain, transport, account: signer, pollingInterval: 30 }),
    chain,
  };
}
