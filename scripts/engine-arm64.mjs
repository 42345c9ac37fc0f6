// `npm run test:engine-arm64 -- --cases N --seed S`: sets up when needed and compares ARM kernels under qemu-user.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setUp } from './setup.mjs';

setUp();
const { main } = await import(pathToFileURL(join(root, 'build', 'test', 'engine', 'foreign.js')).href);
await main(process.argv.slice(2));
