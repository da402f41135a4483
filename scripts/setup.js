/**
 * Makes `node_modules` agree with the lock file, and does nothing when it already does. Plain JavaScript without imports from
 * packages: it is what runs before any package is there.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = `${root}node_modules/.sparrow-lock`;
const lockFile = `${root}package-lock.json`;

/** Installs from the lock file if it changed since the last install. Exits the process with 1 when npm fails. */
export function setup() {
  if (!existsSync(lockFile)) return; // an installed package: npm already did it
  const lock = readFileSync(lockFile, 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  process.stderr.write('sparrow: installing packages from package-lock.json (once) ...\n');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const args = ['ci', '--no-fund', '--no-audit', '--loglevel=error'];
  const done = spawnSync(npm, args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (done.status !== 0) {
    process.stderr.write('sparrow: npm ci failed; check the network and the npm registry, then run the command again\n');
    process.exit(1);
  }
  writeFileSync(stamp, lock);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup();
