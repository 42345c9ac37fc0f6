// docs/protocol/system-abi.md is what the contracts' sources say.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';

const script = fileURLToPath(new URL('../../../scripts/contract-docs.mjs', import.meta.url));

test('docs/protocol/system-abi.md is up to date', async (t) => {
  await t.notThrowsAsync(
    promisify(execFile)(process.execPath, [script, '--check']),
    'run node scripts/contract-docs.mjs',
  );
});
