// Owns the wallet button: finds injected wallets (EIP-6963, else window.ethereum) and asks one to add this network.

import { byId, put } from '/dom.js';

const found = new Map();

function note(text) {
  put('wallet-note', text);
  byId('wallet-note').hidden = false;
}

function providers() {
  window.dispatchEvent(new Event('eip6963:requestProvider'));
  const list = [...found.values()];
  if (list.length === 0 && window.ethereum) list.push({ info: { name: 'your wallet' }, provider: window.ethereum });
  return list;
}

async function addNetwork(chainId) {
  const [wallet] = providers();
  if (wallet === undefined) {
    note(`No wallet found in this browser. By hand: RPC URL ${location.origin}, chain id ${chainId}, symbol POL.`);
    return;
  }
  const hex = `0x${chainId.toString(16)}`;
  try {
    await wallet.provider.request({
      method: 'wallet_addEthereumChain',
      params: [
        {
          chainId: hex,
          chainName: `pol-node ${chainId}`,
          nativeCurrency: { name: 'POL', symbol: 'POL', decimals: 18 },
          rpcUrls: [location.origin],
        },
      ],
    });
    await wallet.provider.request({ method: 'wallet_switchEthereumChain', params: [{ chainId: hex }] });
    const [address] = await wallet.provider.request({ method: 'eth_requestAccounts' });
    byId('balance-address').value = address ?? '';
    byId('balance-form').requestSubmit();
    note(`The network is in ${wallet.info.name}.`);
  } catch (error) {
    note(error.code === 4001 ? 'The wallet request was declined.' : `The wallet refused: ${error.message}`);
  }
}

/** `chainId` answers with the network's chain id once it is known. */
export function startWallet(chainId) {
  window.addEventListener('eip6963:announceProvider', ({ detail }) => found.set(detail.info.uuid, detail));
  window.dispatchEvent(new Event('eip6963:requestProvider'));
  byId('add-wallet').addEventListener('click', async () => addNetwork(await chainId()));
}
