// Adds to package-lock.json the optional platform packages an install on this machine could not see, so that `npm ci` accepts the
// lockfile everywhere and takes the right one on each platform. Run it after every change of dependencies.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const OS = ['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32', 'aix'];
const CPU = ['arm64', 'x64', 'ia32', 'ppc64', 'riscv64', 's390x', 'loong64', 'arm', 'wasm32', 'mips64el', 'universal'];

/** Platform a package is for, read from its name; null for a name that tells none. */
function platformOf(name) {
  const words = name.split('/').pop().split('-');
  const os = OS.find((word) => words.includes(word));
  const cpu = CPU.find((word) => words.includes(word));
  if (os === undefined && cpu === undefined) return null;
  const libc = words.some((word) => word.startsWith('musl'))
    ? ['musl']
    : words.includes('gnu') && os === 'linux'
      ? ['glibc']
      : null;
  return {
    ...(cpu === undefined || cpu === 'universal' ? {} : { cpu: [cpu] }),
    ...(libc === null ? {} : { libc }),
    ...(os === undefined ? {} : { os: [os] }),
  };
}

const path = join(root, 'package-lock.json');
const lock = JSON.parse(readFileSync(path, 'utf8'));
const added = [];
for (const [place, entry] of Object.entries(lock.packages)) {
  if (place === '') continue;
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const known = [`${place}/node_modules/${name}`, `node_modules/${name}`].some(
      (at) => lock.packages[at] !== undefined,
    );
    const platform = platformOf(name);
    if (known || platform === null || !/^\d+\.\d+\.\d+/.test(range)) continue;
    lock.packages[`node_modules/${name}`] = {
      version: range,
      ...platform,
      ...(entry.dev === true ? { dev: true } : {}),
      optional: true,
    };
    added.push(`${name}@${range}`);
  }
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
lock.packages = Object.fromEntries(sorted);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? 'lockfile is complete' : `added ${added.length}: ${added.join(', ')}`);
