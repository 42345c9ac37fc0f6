// The page at /: self-contained, under a strict policy, and alive in a real browser where there is one.

import test from 'ava';
import { type Hex, parseEther } from 'viem';
import { openPage } from './browser.ts';
import { ask, serve } from './fixture.ts';
import { account, serveLive } from './live-chain.ts';
import { tokens } from './scripted-model.ts';
import { clients } from './viem-clients.ts';

test('the page and all it names are served from here, with nothing inline and nothing foreign', async (t) => {
  const { url } = await serve(t);
  const page = await ask(url);
  t.is(page.status, 200);
  t.regex(page.headers.get('content-type') ?? '', /^text\/html/);
  const policy = page.headers.get('content-security-policy') ?? '';
  t.regex(policy, /default-src 'none'/);
  t.false(policy.includes('unsafe'));
  t.is(page.headers.get('x-content-type-options'), 'nosniff');
  t.notRegex(page.text, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:\/\//);
  const names = new Set([...page.text.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, path]) => path as string));
  const seen = new Set<string>();
  for (const path of names) {
    const file = await ask(url + path);
    t.is(file.status, 200, path);
    seen.add(path);
    if (!path.endsWith('.js')) continue;
    for (const [, imported] of file.text.matchAll(/from '(\/[^']*)'/g)) names.add(imported as string);
  }
  t.true(seen.has('/chat.js') && seen.has('/wallet.js') && seen.has('/style.css'));
  for (const path of ['/../package.json', '/..%2fpackage.json', '/web/app.js', '/index.ts', '/.git/config']) {
    t.is((await ask(url + path)).status, 404, path);
  }
});

/** A wallet that announces itself by EIP-6963 and keeps what it is asked. */
const WALLET = `
  window.asked = [];
  const provider = { request: async ({ method, params }) => {
    window.asked.push({ method, params });
    return method === 'eth_requestAccounts' ? ['0x${'11'.repeat(20)}'] : null;
  } };
  const info = { uuid: 'a', name: 'Test wallet', icon: '', rdns: 'test' };
  const announce = () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: { info, provider } }));
  window.addEventListener('eip6963:requestProvider', announce);`;

test('a browser shows the figures, streams chat, looks up balances and asks the wallet', async (t) => {
  const { url, model } = await serve(t);
  model.script = tokens('Call', ' me', ' <b>Ishmael</b>', '.');
  const page = await openPage(t, url, WALLET);
  if (page === null) {
    t.log('skipped: no Chromium on this machine');
    t.pass();
    return;
  }
  const text = (id: string) => `document.getElementById('${id}').textContent`;
  await page.until(`${text('loss')} === '4.250' && ${text('minted')} === '35' && ${text('round')} === '8'`);
  t.true(await page.evaluate(`document.querySelectorAll('#chart polyline').length > 0`));
  await page.until(`${text('rounds')}.includes('valid') && ${text('trainers')}.includes('100')`);
  const submit = (form: string, field: string, value: string) =>
    page.evaluate(`document.getElementById('${field}').value = ${JSON.stringify(value)};
      document.getElementById('${form}').requestSubmit()`);
  await submit('balance-form', 'balance-address', `0x${'22'.repeat(20)}`);
  await page.until(`${text('balance')}.includes('5.5 POL')`);
  await submit('balance-form', 'balance-address', '0x12');
  await page.until(`${text('balance')}.includes('40 hex digits')`);
  await submit('chat-form', 'chat-input', 'Hello');
  await page.until(`${text('chat-log')} === 'HelloCall me <b>Ishmael</b>.'`);
  await submit('chat-form', 'chat-input', 'And then?');
  await page.until(`document.querySelectorAll('.bubble').length === 4 && ${text('chat-send')} === 'Send'`);
  t.deepEqual(model.requests[1]?.prompt, {
    kind: 'chat',
    messages: [
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Call me <b>Ishmael</b>.' },
      { role: 'user', content: 'And then?' },
    ],
  });
  await page.evaluate(`document.getElementById('add-wallet').click()`);
  await page.until(`window.asked.length === 3`);
  t.like(await page.evaluate('window.asked[0]'), {
    method: 'wallet_addEthereumChain',
    params: [{ chainId: '0x7b125', rpcUrls: [url], nativeCurrency: { symbol: 'POL', decimals: 18 } }],
  });
  await page.until(`${text('wallet-note')}.includes('Test wallet')`);
  // The refused balance above is the one entry a browser logs by itself.
  t.deepEqual(
    page.errors.filter((error) => !error.includes('/api/v1/balance/0x12')),
    [],
  );
});

/** A wallet that knows one account and talks to the node for reads; what it would sign waits in `window.unsigned`. */
const signingWallet = (address: string, url: string) => `
  window.unsigned = []; window.answers = [];
  const node = async (method, params) => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const reply = await (await fetch('${url}', { method: 'POST', headers: { 'content-type': 'application/json' }, body })).json();
    if (reply.error) throw Object.assign(new Error(reply.error.message), { code: reply.error.code });
    return reply.result;
  };
  const provider = { request: async ({ method, params }) => {
    if (method.startsWith('wallet_')) return null;
    if (method === 'eth_requestAccounts') return ['${address}'];
    if (method !== 'eth_sendTransaction') return node(method, params);
    window.unsigned.push(params[0]);
    const raw = await new Promise((resolve) => window.answers.push(resolve));
    if (raw === null) throw Object.assign(new Error('declined'), { code: 4001 });
    return node('eth_sendRawTransaction', [raw]);
  } };
  const info = { uuid: 'b', name: 'Signing wallet', icon: '', rdns: 'test' };
  const announce = () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: { info, provider } }));
  window.addEventListener('eip6963:requestProvider', announce);`;

test('a browser sends POL through an injected wallet, on a real chain', async (t) => {
  const live = await serveLive(t);
  const { signer, reader, wallet } = clients(live);
  const page = await openPage(t, live.url, signingWallet(signer.address, live.url));
  if (page === null) {
    t.log('skipped: no Chromium on this machine');
    t.pass();
    return;
  }
  const to = account(80).address;
  const note = `document.getElementById('send-note').textContent`;
  const submit = (recipient: string, pol: string) =>
    page.evaluate(`document.getElementById('send-to').value = '${recipient}';
      document.getElementById('send-amount').value = '${pol}';
      document.getElementById('send-form').requestSubmit()`);
  await page.until(`document.getElementById('height').textContent === '0'`);
  await submit('0x12', '1');
  await page.until(`${note}.includes('40 hex digits')`);
  await submit(to, '1e5');
  await page.until(`${note}.includes('decimal number')`);
  t.is(await page.evaluate('window.unsigned.length'), 0);

  await submit(to, '1.25');
  await page.until('window.unsigned.length === 1');
  const asked = (await page.evaluate('window.unsigned[0]')) as { from: Hex; to: Hex; value: Hex };
  t.deepEqual(asked, { from: signer.address, to, value: `0x${parseEther('1.25').toString(16)}` });
  const prepared = await wallet.prepareTransactionRequest({ to: asked.to, value: BigInt(asked.value) });
  const raw = await wallet.signTransaction(prepared);
  await page.evaluate(`window.answers[0]('${raw}')`);
  await page.until(`${note} === 'Final in block 1.'`);
  t.is(await reader.getBalance({ address: to }), parseEther('1.25'));

  await submit(to, '2');
  await page.until('window.unsigned.length === 2');
  await page.evaluate('window.answers[1](null)');
  await page.until(`${note} === 'The wallet request was declined.'`);
  t.is(await reader.getBalance({ address: to }), parseEther('1.25'));
});
