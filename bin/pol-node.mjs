#!/usr/bin/env node
// The pol-node command: hands over to the compiled command table.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const main = join(dirname(fileURLToPath(import.meta.url)), '..', 'build', 'cli', 'main.js');
if (!existsSync(main)) {
  console.error('pol-node is not built yet: run `npm run build` (or `npm start`) in its folder first.');
  process.exit(1);
}
await import(pathToFileURL(main).href);
