// `npm run bench -- NAME`: sets up when needed and runs one benchmark; its last line is one line of JSON.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setUp } from './setup.mjs';

setUp();
const folder = join(root, 'build', 'bench');
const name = process.argv[2] ?? '';
const file = join(folder, `${name}.js`);
if (!/^[a-z0-9-]+$/.test(name) || !existsSync(file)) {
  const names = existsSync(folder)
    ? readdirSync(folder)
        .filter((f) => f.endsWith('.js'))
        .map((f) => f.slice(0, -3))
    : [];
  console.error(`bench: name one of: ${names.join(', ')}`);
  process.exit(1);
}
const { main } = await import(pathToFileURL(file).href);
await main(process.argv.slice(3));
