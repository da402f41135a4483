/**
 * The test command: sets up the checkout, runs vitest, and closes with a line `N passed, N failed`, or `N passed, N failed, N skipped`.
 * `--full` adds the slow proofs (`*.slow.test.ts`); every other argument goes to vitest (a file's name, `-t NAME`, ...).
 * Without SPARROW_ADAPTER the embedded SwiftShader is used where it runs, so that the suite means the same on every such machine.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setup } from './setup.js';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19) || (major === 22 && minor < 12)) {
  process.stderr.write(`the tests need Node 20.19, 22.12 or newer (vitest does); this is ${process.versions.node}\n`);
  process.exit(1);
}
setup();
const embedded = process.platform === 'linux' && process.arch === 'x64';
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
      SPARROW_ADAPTER: process.env.SPARROW_ADAPTER ?? (embedded ? 'swiftshader' : 'auto'),
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
