/**
 * Makes `node_modules` agree with the lock file, and does nothing when it already does. Plain JavaScript without imports from
 * packages: it is what runs before any package is there.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = `${root}node_modules/.sparrow-lock`;
const record = `${root}node_modules/.package-lock.json`;
const lockFile = `${root}package-lock.json`;

/** Whether what npm recorded as installed is all that the lock file asks for; packages for other systems are optional and not there. */
function isInstalled(lock) {
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  return Object.entries(JSON.parse(lock).packages).every(
    ([path, { version, optional }]) => path === '' || (installed[path] ? installed[path].version === version : optional),
  );
}

/** Installs from the lock file, unless that was done, by this or by npm itself. Exits the process with 1 when npm fails. */
export function setup() {
  if (!existsSync(lockFile)) return; // an installed package: npm already did it
  const lock = readFileSync(lockFile, 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  if (isInstalled(lock)) {
    writeFileSync(stamp, lock);
    return;
  }
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
