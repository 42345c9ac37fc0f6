// Owns what scripts/check-nix.sh does with the evaluated cases: asserts them, and writes the unit and the Caddyfile as
// NixOS would, for the tools that read those.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [casesFile, folder] = process.argv.slice(2);
const cases = JSON.parse(readFileSync(casesFile, 'utf8'));

assert.deepEqual(cases.accepted, [], 'these configurations must be refused');
assert.deepEqual(cases.disabled, {}, 'a disabled service defines no unit');
assert.deepEqual(cases.firewall, [9000, 80, 443], 'the API port is never opened');
const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const hashed = Object.values(lock.packages).filter((entry) => entry.integrity !== undefined);
assert.equal(cases.addresses.length, hashed.length, 'every hashed package of the lockfile has an address');
for (const address of cases.addresses) {
  assert.match(address, /^https:\/\/mirror\.invalid\/(@[^/]+\/)?[^/]+\/-\/[^/]+-\d+\.\d+\.\d+[^/]*\.tgz$/);
}

const { unit } = cases;
assert.match(unit.serviceConfig.ExecStart, /bin\/pol-node run --config-file \/nix\/store\/.*pol-node\.json$/);
assert.equal(unit.environment.POL_NODE_PASSWORD_FILE, '%d/password');
assert.deepEqual(unit.serviceConfig.LoadCredential, [
  'genesis:/etc/pol-node/genesis.json',
  'keystore:/run/secrets/keystore.json',
  'password:/run/secrets/password',
]);
const configPath = unit.serviceConfig.ExecStart.split(' ').at(-1);
assert.deepEqual(JSON.parse(readFileSync(configPath, 'utf8')), {
  api_host: '127.0.0.1',
  api_port: 9001,
  boot_nodes: ['boot.example.org:8000'],
  capacity: 4,
  data_dir: '/var/lib/pol-node',
  host: '0.0.0.0',
  port: 9000,
  training_enabled: true,
});

// The program is not built here; systemd-analyze only wants an executable in its place.
const service = { ...unit.serviceConfig, ExecStart: unit.serviceConfig.ExecStart.replace(/^\S+/, process.execPath) };
const lines = (set) =>
  Object.entries(set).flatMap(([key, value]) => [value].flat().map((one) => `${key}=${one === true ? 'yes' : one}`));
const text = [
  '[Unit]',
  `Description=${unit.description}`,
  `After=${unit.after.join(' ')}`,
  `Wants=${unit.wants.join(' ')}`,
  '[Service]',
  ...Object.entries(unit.environment).map(([name, value]) => `Environment=${JSON.stringify(`${name}=${value}`)}`),
  ...lines(service),
  '[Install]',
  `WantedBy=${unit.wantedBy.join(' ')}`,
];
writeFileSync(join(folder, 'pol-node.service'), `${text.join('\n')}\n`);
writeFileSync(join(folder, 'Caddyfile'), `${cases.caddyfile}\n`);
