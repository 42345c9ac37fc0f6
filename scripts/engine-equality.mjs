// `npm run test:engine-equality -- --cases N --seed S`: sets up when needed and runs the equality campaign.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setUp } from './setup.mjs';

setUp();
const { main } = await import(pathToFileURL(join(root, 'build', 'test', 'engine', 'campaign.js')).href);
await main(process.argv.slice(2));
