/**
 * Lock files (Node): one process at a time works in a place. A lock is a file made with O_EXCL that says who holds it; it is
 * stale, and taken over, when its process on this host is gone.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { FileError } from '../errors.ts';
import { fileError, isRunning } from './files.ts';

/** What a lock file holds, as JSON. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, which tells it from a later one of the same number; absent where that is not known. */
  readonly started?: string | undefined;
  /** What it is doing, for the message of one who comes later. */
  readonly what: string;
  /** Random, so that a holder knows its own lock. */
  readonly id: string;
}

/** Attempts at a lock that others are taking over, and milliseconds between them. */
const ATTEMPTS = 50;
const PAUSE = 20;
/** Milliseconds after which a file that is written and removed at once was left by a process that was killed in between. */
const AT_ONCE = 10_000;

/**
 * Takes the lock file `path`, whose folder exists. It is given back by the function returned, or when the process exits; what a
 * killed process leaves is taken over by the next one on the same host.
 * @param what what the holder is doing, as later ones are told: `fetching cifar10 into data`
 * @returns gives the lock back; calling it again does nothing
 * @throws FileError if another holder (also one in this process) has it, naming its process and host; or if the file cannot be
 * written
 */
export function lockFile(path: string, what: string): () => void {
  const id = randomBytes(8).toString('hex');
  const own: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid), what, id };
  for (let attempt = 1; !create(path, JSON.stringify(own)); attempt++) {
    const found = examine(path);
    if (typeof found !== 'string' || attempt === ATTEMPTS) throw taken(path, found);
    if (found === 'unfinished' || (found === 'stale' && !removeStale(path)))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE);
  }
  const release = () => {
    process.off('exit', release);
    try {
      if (read(path)?.id === id) rmSync(path, { force: true });
    } catch {
      // what cannot be removed is stale once this process ends
    }
  };
  process.on('exit', release);
  return release;
}

function taken(path: string, found: ReturnType<typeof examine>): FileError {
  const who =
    typeof found === 'string'
      ? 'another sparrow is at work here'
      : `another sparrow (process ${found.pid} on ${found.host}) is ${found.what}`;
  return new FileError(`${who}; wait until it is done, or remove ${path} if it is gone`);
}

/** Makes the file; false if it is there already. */
function create(path: string, content: string): boolean {
  try {
    const file = openSync(path, 'wx');
    try {
      writeFileSync(file, content);
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    } finally {
      closeSync(file);
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fileError('write', path, error);
  }
}

/** Who holds a lock; `unfinished` where its file is just being written. */
function examine(path: string): Holder | 'free' | 'stale' | 'unfinished' {
  try {
    const holder = read(path);
    if (!holder) return age(path) > AT_ONCE ? 'stale' : 'unfinished';
    return holder.host === hostname() && !isSame(holder) ? 'stale' : holder;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'free';
    throw fileError('read', path, error);
  }
}

/** Undefined where the file is not whole. */
function read(path: string): Holder | undefined {
  const text = readFileSync(path, 'utf8');
  try {
    const holder = JSON.parse(text);
    return Number.isInteger(holder?.pid) ? holder : undefined;
  } catch {
    return undefined;
  }
}

const age = (path: string) => Date.now() - statSync(path).mtimeMs;

/** Whether the process that took a lock on this host still runs. */
function isSame({ pid, started }: Holder): boolean {
  const now = startOf(pid);
  if (now === ENDED) return false;
  return isRunning(pid) && (started === undefined || now === undefined || now === started);
}

/** In place of a start time: the process is over, and only its parent has not asked how it ended. */
const ENDED = 'ended';

/** The start time of a process in clock ticks since boot (field 22 of proc_pid_stat(5)), or `ENDED`; undefined where there is no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name before it may hold spaces
    return state === 'Z' || state === 'X' ? ENDED : fields[18];
  } catch {
    return undefined;
  }
}

/**
 * Removes a stale lock, under a lock of its own: of two that found it stale, the second must not remove what the first has taken
 * meanwhile. False where another one is at that.
 */
function removeStale(path: string): boolean {
  const guard = `${path}.stale`;
  if (!create(guard, '')) {
    try {
      if (age(guard) > AT_ONCE) rmSync(guard, { force: true });
    } catch {
      // it is gone already
    }
    return false;
  }
  try {
    if (examine(path) === 'stale') remove(path);
    return true;
  } finally {
    rmSync(guard, { force: true });
  }
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw fileError('remove', path, error);
  }
}
