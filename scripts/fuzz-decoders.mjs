// `npm run test:fuzz-decoders -- --inputs N --seed S`: sets up when needed and fuzzes the decoders of programs and models.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setUp } from './setup.mjs';

setUp();
const { main } = await import(pathToFileURL(join(root, 'build', 'test', 'engine', 'fuzz.js')).href);
await main(process.argv.slice(2));
