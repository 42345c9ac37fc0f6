// `npm test`: sets up when needed, runs the suite, and closes with a plain line `N passed, N failed`.
// Arguments are passed to AVA, e.g. `npm test -- 'build/test/chain/**/*.test.js'`. With --again first, files with a failure are
// run once more, alone: on a shared machine a test of real processes can miss a deadline. What failed first is named at the end.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root, setUp } from './setup.mjs';

const NOISE = /^(TAP version|---|\s*\.\.\.$|1\.\.\d|# (tests|pass|fail|skip))/;

/** Compiled test file a title such as "chain › blocks › title" comes from, or null. */
function fileOf(title) {
  const parts = title.split(' › ');
  for (let length = parts.length - 1; length > 0; length--) {
    const file = join('build', 'test', `${parts.slice(0, length).join('/')}.test.js`);
    if (existsSync(join(root, file))) return file;
  }
  return null;
}

/** One run of AVA: counts, and the titles that failed. */
function runSuite(args) {
  return new Promise((resolve) => {
    const entry = join(root, 'node_modules', 'ava', 'entrypoints', 'cli.mjs');
    const ava = spawn(process.execPath, [entry, '--tap', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    const counts = { passed: 0, failed: [], skipped: 0, code: 0 };
    let rest = '';
    ava.stdout.setEncoding('utf8');
    ava.stdout.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [, bad, title] = /^(not )?ok \d+ - (.*)$/.exec(line) ?? [];
        if (title !== undefined && / # (SKIP|TODO)/.test(title)) counts.skipped++;
        else if (bad !== undefined) counts.failed.push(title);
        else if (title !== undefined) counts.passed++;
        if (!NOISE.test(line)) console.log(line);
      }
    });
    ava.on('close', (code) => resolve({ ...counts, code }));
  });
}

setUp();
const args = process.argv.slice(2);
const again = args[0] === '--again';
if (again) args.shift();
let { passed, failed, skipped, code } = await runSuite(args);
const files = [...new Set(failed.map(fileOf))];
if (again && failed.length > 0 && files.length <= 5 && !files.includes(null)) {
  console.log(`\nfailed in the full run, now once more by themselves: ${files.join(' ')}`);
  // Each test of these files has been counted once: those that pass now and failed before change sides.
  const second = await runSuite(['--concurrency=1', ...files]);
  // A run of fewer files leaves out the folders they share, so titles are compared by their ends.
  const failsAgain = (title) => second.failed.some((later) => title === later || title.endsWith(` › ${later}`));
  passed += failed.filter((title) => !failsAgain(title)).length;
  for (const title of failed) {
    console.log(`${failsAgain(title) ? 'failed twice' : 'passed at the second try'}: ${title}`);
  }
  failed = second.failed;
  code = second.code;
}
const failures = failed.length === 0 && code !== 0 ? 1 : failed.length;
console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failures > 0 || passed === 0 ? 1 : 0);
