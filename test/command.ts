/**
 * The command as users have it installed, and beside it the downloads alone, for tests that run them in processes of their own: bundled once for all test
 * files, because a process that translates the sources first takes half a second longer to start.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import manifest from '../package.json';
import { bundleForNode, root, worker } from '../scripts/bundle.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Path of the bundled command: `inject('command')`. */
    command: string;
    /** Path of the bundled module src/data/fetch.ts. */
    fetch: string;
  }
}

/** Vitest calls it before the first test file, and what it returns after the last. */
export default async function bundleCommand(project: TestProject): Promise<() => void> {
  const folder = mkdtempSync(join(root, 'node_modules/.sparrow-command-')); // where it finds the packages that are not inside
  await bundleForNode(
    { sparrow: 'src/cli/main.ts', fetch: 'src/data/fetch.ts', ...worker },
    folder,
    Object.keys(manifest.dependencies),
  );
  project.provide('command', join(folder, 'sparrow.js'));
  project.provide('fetch', join(folder, 'fetch.js'));
  return () => rmSync(folder, { recursive: true });
}
