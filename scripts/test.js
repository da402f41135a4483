/**
 * The test command: sets up the checkout, runs vitest, and closes with a line `N passed, N failed`.
 * `--full` adds the slow proofs (`*.slow.test.ts`); every other argument goes to vitest (a file's name, `-t NAME`, ...).
 * Without SPARROW_ADAPTER the embedded SwiftShader is used, so that the suite means the same on every machine.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setup } from './setup.js';

setup();
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sparrow-test-'));
const report = join(folder, 'report.json');
const args = process.argv.slice(2);
const full = args.includes('--full');
const run = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...args.filter(a => a !== '--full'),
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      SPARROW_ADAPTER: process.env.SPARROW_ADAPTER ?? 'swiftshader',
      ...(full ? { SPARROW_TEST_FULL: '1' } : {}),
    },
  },
);
let counts;
try {
  counts = JSON.parse(readFileSync(report, 'utf8'));
} catch {
  process.stderr.write('the test run ended without a report\n');
  process.exit(run.status || 1);
}
rmSync(folder, { recursive: true, force: true });
const skipped = counts.numPendingTests + (counts.numTodoTests ?? 0);
console.log(`${counts.numPassedTests} passed, ${counts.numFailedTests} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exit(run.status || (counts.success && counts.numPassedTests > 0 ? 0 : 1));
