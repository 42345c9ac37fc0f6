// `npm test`: sets up when needed, runs the suite, and closes with a plain line `N passed, N failed`.
// Arguments are passed to AVA, e.g. `npm test -- 'build/test/chain/**/*.test.js'`.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root, setUp } from './setup.mjs';

setUp();
const ava = spawn(
  process.execPath,
  [join(root, 'node_modules', 'ava', 'entrypoints', 'cli.mjs'), '--tap', ...process.argv.slice(2)],
  { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
);

let passed = 0;
let failed = 0;
let skipped = 0;
let rest = '';
ava.stdout.setEncoding('utf8');
ava.stdout.on('data', (text) => {
  const lines = (rest + text).split('\n');
  rest = lines.pop() ?? '';
  for (const line of lines) {
    if (/^ok .*# (SKIP|TODO)/.test(line)) skipped++;
    else if (/^not ok /.test(line)) failed++;
    else if (/^ok /.test(line)) passed++;
    if (!/^(TAP version|---|\s*\.\.\.$|1\.\.\d|# (tests|pass|fail|skip))/.test(line)) console.log(line);
  }
});
ava.on('close', (code) => {
  if (code !== 0 && failed === 0) failed = 1;
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exit(code !== 0 ? (code ?? 1) : failed > 0 || passed === 0 ? 1 : 0);
});
