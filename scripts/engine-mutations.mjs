// `npm run test:engine-mutations [-- NAME ... wasm]`: sets up when needed and shows that vectors catch changed kernels.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setUp } from './setup.mjs';

setUp();
const { main } = await import(pathToFileURL(join(root, 'build', 'test', 'engine', 'mutations.js')).href);
await main(process.argv.slice(2));
