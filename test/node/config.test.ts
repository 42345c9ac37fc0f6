import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { loadConfig } from '../../node/config.ts';

function withFile<T>(content: string, use: (path: string, directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'config-'));
  try {
    const path = join(directory, 'config.json');
    writeFileSync(path, content);
    return use(path, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const load = (file: string | undefined, flags = {}, environment = {}) => loadConfig({ file, flags, environment });
const message = (result: ReturnType<typeof load>): string => (result.ok ? 'accepted' : result.message);

test('the published defaults hold', (t) => {
  const loaded = load(undefined);
  t.true(loaded.ok);
  if (!loaded.ok) return;
  t.is(loaded.value.config.port, 8000);
  t.is(loaded.value.config.api_port, 8080);
  t.is(loaded.value.config.api_host, '127.0.0.1');
  t.false(loaded.value.config.wallet_rpc);
});

test('a flag wins over the environment, the environment over the file, the file over the default', (t) => {
  withFile('{"port": 8001, "api_port": 8181, "node_id": "file"}', (path) => {
    const loaded = load(
      path,
      { port: 8003 },
      { POL_NODE_PORT: '8002', POL_NODE_API_PORT: '8282', POL_NODE_UNKNOWN: 'x' },
    );
    t.true(loaded.ok);
    if (!loaded.ok) return;
    t.is(loaded.value.config.port, 8003);
    t.is(loaded.value.config.api_port, 8282);
    t.is(loaded.value.config.node_id, 'file');
    t.deepEqual(
      [
        loaded.value.sources.port,
        loaded.value.sources.api_port,
        loaded.value.sources.node_id,
        loaded.value.sources.is_authority,
      ],
      ['flag', 'environment', 'file', 'default'],
    );
  });
});

test('paths in a file are relative to that file', (t) => {
  withFile('{"data_dir": "here"}', (path, directory) => {
    const loaded = load(path);
    t.is(loaded.ok ? loaded.value.config.data_dir : '', join(directory, 'here'));
  });
});

test('boot nodes are read as published', (t) => {
  const loaded = load(undefined, { boot_nodes: 'localhost:8001,localhost:8002' });
  t.deepEqual(loaded.ok ? loaded.value.config.boot_nodes : [], ['localhost:8001', 'localhost:8002']);
});

test('broken configurations are refused with the key, the limit and the source', (t) => {
  t.regex(message(load('/nowhere/config.json')), /ENOENT/);
  withFile('{', (path) => t.regex(message(load(path)), /not JSON/));
  withFile('[]', (path) => t.regex(message(load(path)), /one JSON object/));
  withFile('{"prot": 1}', (path) => t.regex(message(load(path)), /unknown key "prot".*known keys/));
  withFile('{"__proto__": {"port": 1}}', (path) => t.regex(message(load(path)), /unknown key "__proto__"/));
  withFile('{"port": 70000}', (path) =>
    t.regex(message(load(path)), /port: must be a whole number from 1 to 65535, not 70000 \(from the file\)/),
  );
  t.regex(message(load(undefined, { port: 8080 })), /api_port: must differ/);
  t.regex(message(load(undefined, { boot_nodes: 'nonsense' })), /boot_nodes.*host:port/);
  t.regex(message(load(undefined, {}, { POL_NODE_LEARNING_RATE: 'fast' })), /learning_rate.*environment/);
  t.regex(message(load(undefined, { node_id: '../x' })), /node_id/);
});
