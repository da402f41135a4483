#!/usr/bin/env node
// The command line's entry. A checkout runs from source through tsx (set up on first use); an installed package runs its build.
import { existsSync } from 'node:fs';

const source = new URL('../src/cli/main.ts', import.meta.url);
if (existsSync(source)) {
  const { setup } = await import('../scripts/setup.js');
  setup();
  const { register } = await import('tsx/esm/api');
  register();
  await import(source.href);
} else {
  await import(new URL('../dist/sparrow.js', import.meta.url).href);
}
