import { spawnSync } from 'node:child_process';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

test('the flake, the module and the unit they render are sound, as far as a machine without nixpkgs can tell', (t) => {
  const { status, stdout, stderr } = spawnSync('sh', [join(repository, 'scripts', 'check-nix.sh')], {
    encoding: 'utf8',
  });
  for (const line of stdout.trim().split('\n')) t.log(line);
  t.true(status === 0 || status === 77, `${stdout}\n${stderr}`);
});
