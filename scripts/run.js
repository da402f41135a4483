/** `node scripts/run.js FILE.ts [ARG ...]`: sets up the checkout, then runs a TypeScript script of this project. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setup } from './setup.js';

setup();
const { register } = await import('tsx/esm/api');
register();
const file = process.argv[2];
process.argv.splice(1, 1);
await import(pathToFileURL(resolve(file)).href);
