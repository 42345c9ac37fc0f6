// Owns what goes through an injected wallet (EIP-6963, else window.ethereum): adding this network, and sending POL. Keys
// and signatures stay in the wallet.

import { byId, put } from '/dom.js';

const found = new Map();
/** Seconds a transaction is looked for. */
const RECEIPT_TRIES = 30;

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

const noWallet = (chainId) =>
  `No wallet found in this browser. By hand: RPC URL ${location.origin}, chain id ${chainId}, symbol POL.`;
/** EIP-1193 code 4001: the user declined. */
const refusal = (error) =>
  error.code === 4001 ? 'The wallet request was declined.' : `The wallet refused: ${error.message}`;

/** Puts this network into a wallet and gives its first account. */
async function connect({ provider }, chainId) {
  const hex = `0x${chainId.toString(16)}`;
  const network = {
    chainId: hex,
    chainName: `pol-node ${chainId}`,
    nativeCurrency: { name: 'POL', symbol: 'POL', decimals: 18 },
    rpcUrls: [location.origin],
  };
  await provider.request({ method: 'wallet_addEthereumChain', params: [network] });
  await provider.request({ method: 'wallet_switchEthereumChain', params: [{ chainId: hex }] });
  const [address] = await provider.request({ method: 'eth_requestAccounts' });
  return address ?? '';
}

async function addNetwork(chainId) {
  const [wallet] = providers();
  if (wallet === undefined) {
    note(noWallet(chainId));
    return;
  }
  try {
    byId('balance-address').value = await connect(wallet, chainId);
    byId('balance-form').requestSubmit();
    note(`The network is in ${wallet.info.name}.`);
  } catch (error) {
    note(refusal(error));
  }
}

/** Wei of a decimal amount of POL, or null. */
function weiOf(text) {
  const found = /^(\d{1,18})(?:\.(\d{1,18}))?$/.exec(text.trim());
  return found === null ? null : BigInt(found[1]) * 10n ** 18n + BigInt((found[2] ?? '').padEnd(18, '0'));
}

/** Looks for a receipt once a second; the wallet sent the transaction, so it is found soon or never. */
async function receiptOf(provider, hash) {
  for (let i = 0; i < RECEIPT_TRIES; i++) {
    const receipt = await provider.request({ method: 'eth_getTransactionReceipt', params: [hash] });
    if (receipt !== null) return receipt;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  return null;
}

async function send(chainId) {
  const say = (text) => put('send-note', text);
  const [wallet] = providers();
  if (wallet === undefined) return say(noWallet(chainId));
  const to = byId('send-to').value.trim();
  const value = weiOf(byId('send-amount').value);
  if (!/^0x[0-9a-fA-F]{40}$/.test(to)) return say('The recipient must be 0x and 40 hex digits.');
  if (value === null) return say('The amount must be a decimal number with at most 18 digits after the point.');
  try {
    const from = await connect(wallet, chainId);
    const transaction = { from, to, value: `0x${value.toString(16)}` };
    const hash = await wallet.provider.request({ method: 'eth_sendTransaction', params: [transaction] });
    say(`Sent as ${hash}, waiting for its block…`);
    const receipt = await receiptOf(wallet.provider, hash);
    if (receipt === null) return say(`${hash} is not in a block yet.`);
    say(`${receipt.status === '0x1' ? 'Final' : 'Failed'} in block ${Number(receipt.blockNumber)}.`);
  } catch (error) {
    say(refusal(error));
  }
}

/** `chainId` answers with the network's chain id once it is known. */
export function startWallet(chainId) {
  window.addEventListener('eip6963:announceProvider', ({ detail }) => found.set(detail.info.uuid, detail));
  window.dispatchEvent(new Event('eip6963:requestProvider'));
  byId('send-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    await send(await chainId());
  });
  byId('add-wallet').addEventListener('click', async () => addNetwork(await chainId()));
}
