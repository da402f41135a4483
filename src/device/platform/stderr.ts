/**
 * Keeps two warnings of Dawn from the terminal. When it looks at a driver that has more dynamic buffers than it can use, as lavapipe and RADV have, it
 * writes that it lowers both limits: from C++ to the process's stderr, at every start, with no switch against it (Dawn's PhysicalDevice,
 * NormalizeLimits). Nothing here asks for these limits. Whatever else is written meanwhile comes out as it is.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { isMainThread } from 'node:worker_threads';

const STDERR = 2;
const { O_WRONLY, O_APPEND, O_NOCTTY } = constants;
const lowered = /^Warning: maxDynamic\w+ artificially reduced from \d+ to \d+ to fit dynamic offset allocation limit\.\n/gm;

/**
 * What `work` returns, without those warnings. What it writes waits in a file until it returns, so `work` must be short and synchronous.
 * Only where stderr is a terminal or a pipe: Node cannot duplicate a descriptor, and a file that is opened again has a position of its own.
 */
export function withoutLimitWarnings<T>(work: () => T): T {
  const held = hold();
  if (!held) return work();
  try {
    return work();
  } finally {
    point(held.original);
    const text = readFileSync(`/proc/self/fd/${held.file}`, 'utf8').replace(lowered, '');
    for (const fd of [held.original, held.file]) closeSync(fd);
    if (text) tell(text);
  }
}

function tell(text: string): void {
  try {
    writeSync(STDERR, text);
  } catch {
    // nobody reads it any more
  }
}

/** Points stderr at a file without a name. @returns the descriptors of what it was and of the file; undefined where that cannot be done */
function hold(): { original: number; file: number } | undefined {
  if (process.platform !== 'linux' || !isMainThread) return undefined;
  try {
    if (!isatty(STDERR) && !fstatSync(STDERR).isFIFO()) return undefined;
    const original = openSync(`/proc/self/fd/${STDERR}`, O_WRONLY | O_NOCTTY);
    const path = join(tmpdir(), `sparrow-${randomUUID()}`);
    const file = openSync(path, 'wx+', 0o600);
    rmSync(path);
    point(file);
    return { original, file };
  } catch {
    return undefined;
  }
}

/** Makes stderr what another descriptor is: the lowest free descriptor is the one that was just closed. */
function point(fd: number): void {
  closeSync(STDERR);
  openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NOCTTY);
}
