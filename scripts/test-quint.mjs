// Replays the whole set of published Tendermint traces (QUINT_TRACES_DIR names their folder) instead of the suite's sample.

import { spawnSync } from 'node:child_process';

const run = (command, args, env = {}) =>
  spawnSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32', env: { ...process.env, ...env } })
    .status ?? 1;

const built = run('npx', ['tsc', '-p', '.']);
process.exit(built || run('npx', ['ava', 'build/test/consensus/quint.test.js'], { QUINT_ALL: '1' }));
