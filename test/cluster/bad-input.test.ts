// Owns what a stranger's mistakes and malice meet: a start that cannot work ends with one line that names the field and the
// limit; a running node refuses, says why, and goes on making blocks.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { WebSocket } from 'ws';
import { fromHex, toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { ONE_POL } from '../../base/units.ts';
import { prng } from '../../base/prng.ts';
import { DEFAULT_CHAIN_ID } from '../../chain/genesis.ts';
import { createPeerNode } from '../../net/peer-node.ts';
import type { ChildNode } from '../../node/child-nodes.ts';
import { systemClock } from '../../node/clock.ts';
import type { FoundedNetwork, FoundedNode } from '../../node/founding.ts';
import { freePorts } from '../../node/free-ports.ts';
import { openKeystore } from '../../node/keystore.ts';
import { signTransaction } from '../../node/wallet.ts';
import { rpcLimits } from '../../rpc/limits.ts';
import {
  HOST,
  api,
  command,
  foundSmallNetwork,
  heightOf,
  kill,
  logTails,
  openStage,
  reaches,
  startProcess,
  waitFor,
} from './harness.ts';

const stage = openStage('bad-input');
const { directory } = stage;
let network: FoundedNetwork;
let child: ChildNode;

/** The one running node, an authority that makes every block. */
const running = (): FoundedNode => present(network.nodes[0], 'authority');
/** The node that is started wrongly. */
const other = (): FoundedNode => present(network.nodes[1], 'regular node');
const url = (): string => `http://${HOST}:${running().apiPort}`;

test.before(async () => {
  network = await foundSmallNetwork(stage, { authorities: 1, regularNodes: 1 });
  child = startProcess(stage, running());
  await waitFor('the first block', 90_000, async () => ((await heightOf(running())) >= 1 ? true : null));
});
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

/** The node is the same process as at first, and its height rises. */
async function goesOn(t: ExecutionContext): Promise<void> {
  t.is(child.process.exitCode, null);
  t.is(child.process.signalCode, null);
  await reaches(running(), (await heightOf(running())) + 2, 30_000);
}

/** Starting with these words ends with code 1 and one line on standard error. */
async function refuses(t: ExecutionContext, words: readonly string[], line: RegExp): Promise<void> {
  const { code, stderr } = await command(directory, ['run', ...words], 60_000);
  t.is(code, 1, `${words.join(' ')}: ${stderr}`);
  t.regex(stderr, /^pol-node: [^\n]+\n$/, 'one line, no stack');
  t.regex(stderr, line);
}

function file(name: string, content: string, mode = 0o644): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const configWords = (...rest: string[]): string[] => ['--config-file', other().configFile, ...rest];

test.serial('ports in use are named, with the flag that chooses another', async (t) => {
  await refuses(
    t,
    configWords('--port', String(running().port)),
    new RegExp(`port: 127\\.0\\.0\\.1:${running().port} is in use; choose another with --port`),
  );
  await refuses(
    t,
    configWords('--api-port', String(running().apiPort)),
    new RegExp(`api_port: 127\\.0\\.0\\.1:${running().apiPort} is in use; choose another with --api-port`),
  );
  await refuses(t, configWords('--port', '9001', '--api-port', '9001'), /api_port: must differ from port \(9001\)/);
  await goesOn(t);
});

test.serial('a missing keystore, a wrong password and an open password file are refused', async (t) => {
  await refuses(
    t,
    configWords('--keystore-file', '/no/such/key.json'),
    /keystore_file: \/no\/such\/key\.json does not exist/,
  );
  const wrong = file('wrong-password', 'not the password\n', 0o600);
  await refuses(t, configWords('--password-file', wrong), /keystore: wrong password \(.*keystore\.json\)/);
  const open = file('open-password', 'x\n', 0o644);
  await refuses(
    t,
    configWords('--password-file', open),
    /password.*open-password is readable by others; run: chmod 600/,
  );
  await refuses(t, configWords('--password-file', '/no/such/password'), /password.*\/no\/such\/password \(ENOENT\)/);
  const broken = file('broken-keystore.json', '{"version":3', 0o600);
  await refuses(t, configWords('--keystore-file', broken), /keystore: not JSON.*broken-keystore\.json/);
});

test.serial('broken config files are refused with the key, the limit and where the value came from', async (t) => {
  const config = (name: string, content: string): string[] => ['--config-file', file(name, content)];
  await refuses(t, ['--config-file', '/no/such/config.json'], /config file \/no\/such\/config\.json: ENOENT/);
  await refuses(t, config('a_config.json', '{"port": 80'), /a_config\.json: not JSON/);
  await refuses(t, config('b_config.json', '[]'), /b_config\.json: must hold one JSON object/);
  await refuses(t, config('c_config.json', '{"prot": 1}'), /unknown key "prot"; known keys: node_id, port/);
  await refuses(
    t,
    config('d_config.json', '{"port": 70000}'),
    /port: must be a whole number from 1 to 65535, not 70000 \(from the file\)/,
  );
  await refuses(
    t,
    config('e_config.json', `{"node_id": "${'n'.repeat(1 << 20)}"}`),
    /e_config\.json: over 1048576 bytes/,
  );
  await refuses(
    t,
    configWords('--log-level', 'loud'),
    /log_level: must be one of DEBUG, INFO, WARNING, ERROR, not "loud" \(from the flag\)/,
  );
  await refuses(t, ['--port', '9002'], /genesis_file: no network named.*create-network/);
});

test.serial('a genesis that is missing, damaged or of another network is refused', async (t) => {
  const genesis = readFileSync(network.genesisFile, 'utf8');
  const withGenesis = (name: string, content: string): string[] => {
    return configWords('--genesis-file', file(name, content));
  };
  await refuses(
    t,
    configWords('--genesis-file', '/no/such/genesis.json'),
    /genesis_file: \/no\/such\/genesis\.json does not exist/,
  );
  await refuses(t, withGenesis('torn.json', genesis.slice(0, 1_000)), /genesis/);
  await refuses(t, withGenesis('empty.json', '{}'), /genesis\.[a-zA-Z]+: /);
  const parsed = JSON.parse(genesis) as {
    timestamp: number;
    learning: { steps: number };
    dataset: { manifest: { name: string } };
  };
  const manifest = { ...parsed.dataset.manifest, name: 'another text' };
  const otherData = JSON.stringify({ ...parsed, dataset: { ...parsed.dataset, manifest } });
  await refuses(t, withGenesis('other-data.json', otherData), /genesis dataset\.manifest/);
  const steps = JSON.stringify({ ...parsed, learning: { ...parsed.learning, steps: 0 } });
  await refuses(t, withGenesis('steps.json', steps), /learning\.steps: must be a whole number from 1 to 1024/);
});

test.serial('a data folder of another network, or one in use, is refused and left as it was', async (t) => {
  const follower = startProcess(stage, other());
  await waitFor('the follower', 60_000, async () => ((await heightOf(other())) >= 1 ? true : null));
  const dataDir = join(dirname(network.genesisFile), other().name);
  const [port, apiPort] = await freePorts(2);
  const elsewhere = ['--port', String(port), '--api-port', String(apiPort)];
  await refuses(t, configWords(...elsewhere), /database|data_dir/);
  await kill(follower);
  const genesis = JSON.parse(readFileSync(network.genesisFile, 'utf8')) as { timestamp: number };
  const later = file('later.json', JSON.stringify({ ...genesis, timestamp: genesis.timestamp + 1 }));
  await refuses(
    t,
    configWords('--genesis-file', later),
    /belongs to the network 0x[0-9a-f]{64}, the genesis file is 0x/,
  );
  t.true(existsSync(join(dataDir, 'chain')));
  const again = startProcess(stage, other());
  await waitFor('the follower again', 60_000, async () => ((await heightOf(other())) >= 1 ? true : null));
  await kill(again);
});

type RpcAnswer = { error?: { code: number; message: string }; result?: unknown };

async function post(body: string, path = '/'): Promise<{ status: number; json: RpcAnswer }> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url()}${path}`, { method: 'POST', headers, body });
  return { status: response.status, json: (await response.json()) as RpcAnswer };
}

const call = (method: string, params: unknown): string => JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });

test.serial(
  'malformed JSON-RPC, unknown methods, wrong chain ids and oversized bodies are answered with what is wrong',
  async (t) => {
    const keys = join(dirname(network.genesisFile), other().name);
    const { secretKey } = unwrap(await openKeystore(join(keys, 'keystore.json'), join(keys, 'password')));
    const fields = {
      nonce: 0n,
      maxPriorityFeePerGas: ONE_POL / 10n ** 9n,
      maxFeePerGas: ONE_POL / 10n ** 8n,
      gas: 21_000n,
    };
    const to = { to: `0x${'aa'.repeat(20)}` as const, value: 1n, data: new Uint8Array(0) };
    const raw = (chainId: number): string =>
      toHex(signTransaction({ chainId: BigInt(chainId), ...fields, ...to }, secretKey).raw);
    const cases: readonly (readonly [body: string, code: number, message: RegExp])[] = [
      ['{"jsonrpc":"2.0",', -32700, /JSON/],
      ['"text"', -32600, /./],
      [call('eth_noSuchMethod', []), -32601, /eth_noSuchMethod/],
      [call('eth_getBalance', ['0x12']), -32602, /argument 0: expected 20 bytes of hex, got 2 digits/],
      [call('eth_sendRawTransaction', ['0x02']), -32000, /./],
      [call('eth_sendRawTransaction', [raw(DEFAULT_CHAIN_ID + 1)]), -32000, /chain id/i],
      [
        `[${Array(rpcLimits.batchItems + 1)
          .fill(call('eth_chainId', []))
          .join()}]`,
        -32600,
        new RegExp(`${rpcLimits.batchItems}`),
      ],
    ];
    for (const [body, code, message] of cases) {
      const { json } = await post(body);
      t.is(json.error?.code, code, body.slice(0, 80));
      t.regex(json.error?.message ?? '', message);
    }
    const large = await post(call('eth_call', [{ data: `0x${'00'.repeat(rpcLimits.bodyBytes / 2)}` }]));
    t.is(large.status, 413);
    t.regex(large.json.error?.message ?? '', new RegExp(String(rpcLimits.bodyBytes)));
    // The same transaction for this chain is taken: only the chain id was wrong.
    t.regex(
      String((await post(call('eth_sendRawTransaction', [raw(DEFAULT_CHAIN_ID)]))).json.result),
      /^0x[0-9a-f]{64}$/,
    );
    await goesOn(t);
  },
);

test.serial('wrong REST and chat requests are answered with the field', async (t) => {
  const get = async (path: string): Promise<readonly [number, string]> => {
    const response = await fetch(`${url()}${path}`);
    return [response.status, await response.text()];
  };
  for (const [path, status, words] of [
    ['/api/v1/balance/0x12', 400, /address: expected 0x and 40 hex digits/],
    ['/api/v1/block/minus', 400, /block: expected a whole number/],
    ['/api/v1/block/99999999', 404, /no block 99999999/],
    ['/api/v1/rounds?limit=1000', 400, /limit: expected 1 to 100/],
    ['/api/v1/nothing', 404, /error/],
    [`/api/v1/${'x'.repeat(5_000)}`, 414, /4096/],
  ] as const) {
    const [code, text] = await get(path);
    t.is(code, status, `${path.slice(0, 60)}: ${text.slice(0, 200)}`);
    t.regex(text, words);
  }
  for (const [body, words] of [
    ['{', /JSON/],
    ['{"model":"pol-gpt"}', /messages/],
    ['{"model":"gpt-4","messages":[{"role":"user","content":"x"}]}', /model/],
    ['{"model":"pol-gpt","messages":[{"role":"user","content":"x"}],"temperature":9}', /temperature/],
  ] as const) {
    const { status, json } = await post(body, '/v1/chat/completions');
    t.true(status >= 400 && status < 500, `${status} ${body}`);
    t.regex(json.error?.message ?? '', words);
  }
  await goesOn(t);
});

/** Opens a WebSocket to the peer port and sends junk frames until it is cut off; true when it was. */
function junkSocket(seed: string): Promise<boolean> {
  return new Promise((resolve) => {
    const random = prng(seed);
    const socket = new WebSocket(`ws://${HOST}:${running().port}`, { perMessageDeflate: false });
    const late = systemClock.after(30_000, () => socket.terminate());
    let cut = true;
    socket.on('open', () => {
      for (let i = 0; i < 30; i++) socket.send(random.bytes(1 + random.below(2_000)), () => undefined);
    });
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      cut = code !== 1000;
      late.cancel();
      resolve(cut);
    });
  });
}

test.serial('junk on the peer port, from sockets without number, is cut off while blocks go on', async (t) => {
  const silent = Array.from({ length: 40 }, () => {
    const socket = connect(running().port, HOST);
    socket.on('error', () => undefined);
    return socket;
  });
  const before = await heightOf(running());
  for (let wave = 0; wave < 4; wave++) {
    const cuts = await Promise.all(Array.from({ length: 30 }, (_, i) => junkSocket(`junk ${wave} ${i}`)));
    t.true(cuts.every(Boolean));
  }
  await reaches(running(), before + 2, 30_000);
  for (const socket of silent) socket.destroy();
  await goesOn(t);
});

test.serial('a peer that fills the mailbox with junk messages is banned while blocks go on', async (t) => {
  const { genesis_hash } = await api(running(), 'network/info');
  const villain = unwrap(
    await createPeerNode({
      identityKeyBytes: new Uint8Array(32).fill(99),
      listenHost: HOST,
      port: 0,
      bootNodes: [`${HOST}:${running().port}`],
      chainId: DEFAULT_CHAIN_ID,
      genesisHash: fromHex(String(genesis_hash) as `0x${string}`),
      status: { height: 1, headHash: `0x${'ab'.repeat(32)}`, role: 'authority', apiUrl: '' },
      now: systemClock.monotonic,
      log: () => undefined,
    }),
  );
  t.teardown(() => villain.stop());
  for (const topic of ['consensus', 'transactions', 'learning'] as const) villain.subscribe(topic, () => 'ignore');
  await waitFor('the villain joins', 30_000, async () => (villain.peers().length === 1 ? true : null));
  const before = await heightOf(running());
  let banned = false;
  villain.onPeer((event) => {
    banned ||= event.kind === 'left';
  });
  const random = prng('mailbox');
  for (let i = 0; i < 6_000 && !banned; i++) {
    await villain.publish(i % 2 === 0 ? 'consensus' : 'transactions', random.bytes(40 + random.below(400)));
    if (i % 50 === 0) await systemClock.sleep(5);
  }
  await waitFor('the villain is cut off', 60_000, async () => (banned ? true : null));
  const { peer_count } = await api(running(), 'network/info');
  t.is(peer_count, 0);
  const peers = await villain.request('12D3KooWnobody', 'blocks', utf8('x'), { timeoutMs: 1_000, maxBytes: 10 });
  t.false(peers.ok);
  await reaches(running(), before + 2, 30_000);
  await goesOn(t);
});

test.serial('a node ends when the program that started it was killed', async (t) => {
  const module = new URL('../../node/child-nodes.js', import.meta.url);
  const node = { name: 'orphan', configFile: other().configFile, logFile: join(directory, 'orphan.log') };
  const code = `
    const { startChildNode } = await import(${JSON.stringify(module.href)});
    const child = startChildNode(${JSON.stringify(node)});
    process.stdout.write(String(child.process.pid));
    await child.ended;`;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [bytes] = (await once(starter.stdout, 'data')) as [Buffer];
  const pid = Number(bytes.toString());
  t.teardown(() => {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  });
  await waitFor('the node answers', 60_000, () => heightOf(other()));
  starter.kill('SIGKILL');
  await waitFor('its end', 30_000, async () => (isAlive(pid) ? null : true));
  t.pass();
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
