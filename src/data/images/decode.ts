/** Image files decoded on several threads. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { FileError } from '../../errors.ts';
import { type Done, decodeFiles, type Problem, type Task } from './decode-files.ts';

/** Files that a thread takes at a time. */
const CHUNK = 128;
const MOST_THREADS = 16;

export interface Decoded {
  /** [N, 3, H, W], N the number of good files. */
  readonly images: Uint8Array;
  readonly size: readonly [height: number, width: number];
  /** Positions of the good files in the list, in order. */
  readonly kept: Int32Array;
}

export interface DecodeOptions {
  /** The size that all must have; by default that of the first good file. */
  readonly size?: readonly [height: number, width: number] | undefined;
  /** Whether to leave damaged files out. */
  readonly skipCorrupt?: boolean | undefined;
  /** Called with the number of files done. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/**
 * Decodes JPEG and PNG files of one size.
 * @throws FileError naming a file that is damaged, of another size, or cannot be read (which no option passes over); or where they are
 * more than memory holds
 */
export async function decodeImages(files: readonly string[], options: DecodeOptions = {}): Promise<Decoded> {
  const { skipCorrupt = false, onProgress } = options;
  const size = options.size ?? (await sizeOf(files, skipCorrupt));
  const bytes = 3 * size[0] * size[1];
  const images = room(files, size);
  const problems: Problem[] = [];
  let done = 0;
  const tasks: Task[] = [];
  for (let first = 0; first < files.length; first += CHUNK) tasks.push({ first, files: files.slice(first, first + CHUNK), size });
  await runTasks(tasks, result => {
    images.set(result.pixels, result.first * bytes);
    problems.push(...result.problems);
    onProgress?.((done += result.pixels.length / bytes));
    return problems.every(({ kind }) => kind === 'corrupt' && skipCorrupt);
  });
  const bad = new Set(problems.map(({ index }) => index));
  const worst = problems.filter(({ kind }) => kind !== 'corrupt' || !skipCorrupt).sort((a, b) => a.index - b.index)[0];
  if (worst) {
    const good = files[files.findIndex((_, i) => !bad.has(i))];
    throw new FileError(problemText(files[worst.index], worst, size, options.size ? undefined : good));
  }
  const kept = Int32Array.from({ length: files.length }, (_, i) => i).filter(i => !bad.has(i));
  if (kept.length === 0) throw new FileError(`${files[0]}: this and all ${files.length} files of its set are corrupt`);
  if (bad.size > 0) for (const [to, from] of kept.entries()) images.copyWithin(to * bytes, from * bytes, (from + 1) * bytes);
  return { images: images.subarray(0, kept.length * bytes), size, kept };
}

function problemText(file: string, { kind, reason }: Problem, size: readonly number[], first: string | undefined): string {
  if (kind === 'unreadable') return reason;
  if (kind === 'corrupt') return `${file} cannot be decoded: ${reason}; replace it, or leave such files out with --skip-corrupt`;
  const others = first ? `${first} has ${size.join('x')}` : `${size.join('x')} is wanted`;
  return `${file} has ${reason} pixels (height x width), but ${others}: all images must have one size`;
}

/** The size of the first file; where damaged ones are left out, of the first good one. */
async function sizeOf(files: readonly string[], skipCorrupt: boolean): Promise<readonly [number, number]> {
  for (const [first, file] of files.entries()) {
    const { size, problems } = await decodeFiles({ first, files: [file] });
    if (size) return size;
    const [problem] = problems;
    if (problem.kind !== 'corrupt' || !skipCorrupt) throw new FileError(problemText(file, problem, [], undefined));
  }
  throw new FileError(`${files[0]}: this and all ${files.length} files of its set are corrupt`);
}

/** Runs tasks, a single one in this thread and more on others, until all are done or `onDone` returns false. */
async function runTasks(tasks: readonly Task[], onDone: (done: Done) => boolean): Promise<void> {
  if (tasks.length === 1) {
    onDone(await decodeFiles(tasks[0]));
    return;
  }
  const workers = Array.from({ length: Math.min(tasks.length, availableParallelism(), MOST_THREADS) }, startWorker);
  let next = 0;
  const work = async (worker: Worker) => {
    while (next < tasks.length) {
      worker.postMessage(tasks[next++]);
      const [done] = (await once(worker, 'message')) as [Done]; // rejects if the thread fails
      if (!onDone(done)) next = tasks.length;
    }
  };
  try {
    await Promise.all(workers.map(work));
  } finally {
    await Promise.all(workers.map(worker => worker.terminate()));
  }
}

/** A thread on decode-worker: in a checkout through the TypeScript loader, in a bundle from a file of its own. */
function startWorker(): Worker {
  const own = (path: string) => new URL(path, import.meta.url);
  if (import.meta.url.endsWith('.ts'))
    return new Worker(own('../../../scripts/worker.js'), { workerData: own('./decode-worker.ts').href });
  const places = [own('./decode-worker.js'), own('../decode-worker.js')];
  return new Worker(places.find(place => existsSync(place)) ?? places[0]);
}

/** An array for all images of a set. @throws FileError where there is no memory for it */
function room(files: readonly string[], size: readonly [height: number, width: number]): Uint8Array<ArrayBuffer> {
  const bytes = 3 * size[0] * size[1];
  try {
    return new Uint8Array(files.length * bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const take = `${files.length} images of 3x${size.join('x')} bytes take ${((files.length * bytes) / 2 ** 30).toFixed(1)} GiB`;
    throw new FileError(`${files[0]}: its set does not fit into memory: ${take}; make them smaller, or leave some out`);
  }
}
