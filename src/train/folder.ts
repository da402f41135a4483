/**
 * A run's folder: `config.json`, `kernels.json`, `metrics.jsonl`, `checkpoint.safetensors`, `best-ra.safetensors`, `best-sa.safetensors` and
 * `result.json` (Node). Each file is written whole or not at all; only `metrics.jsonl` grows by lines, and is repaired on resume.
 * While a process trains there, `run.lock` says which.
 */
import { existsSync, realpathSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { appendLine, ensureWritableFolder, readFileBytes, readFileJson, readFileText, writeFileAtomic } from '../data/files.ts';
import { lockFile } from '../data/lock.ts';
import { UsageError } from '../errors.ts';
import type { TrainResult } from './api.ts';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { assertSameRun, decodeConfig, encodeConfig, type TrainConfig } from './config.ts';
import { type EpochHistory, type EpochMetrics, withoutTimings } from './metrics.ts';

export type CheckpointName = 'checkpoint' | 'best-ra' | 'best-sa' | 'rewind' | 'ticket';

/** The file of the process that trains in a folder. */
export const RUN_LOCK = 'run.lock';

/** All methods throw FileError, naming the file, where the disk or a file's content does not let them work. */
export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Makes the folder and proves that it can be written to. To be called before the first hour of training, not after it. */
  prepare(): void {
    ensureWritableFolder(this.path);
  }

  /**
   * Takes the folder, which is made if need be, for one run: a second one would discard its checkpoints, and a resume take the
   * other's weights. What a killed process held is free.
   * @returns gives it back; folders that were made for it and hold nothing go with it
   * @throws FileError naming the process that trains there
   */
  lock(): () => void {
    const missing: string[] = [];
    for (let path = resolve(this.path); !existsSync(path) && path !== dirname(path); path = dirname(path)) missing.push(path);
    this.prepare();
    const release = lockFile(this.file(RUN_LOCK), `training into ${this.path}`);
    return () => {
      release();
      removeEmpty(missing);
    };
  }

  /** @throws UsageError if a run that begins here would lose the file that it starts from */
  assertSpares(start: string | undefined): void {
    if (start === undefined || !isSameFile(start, this.file('checkpoint.safetensors'))) return;
    throw new UsageError(
      `${start}: the run would start from the checkpoint that it replaces: give another --save-dir, or --resume`,
    );
  }

  /**
   * Forgets an earlier run in this folder: no later one goes on from there, and nothing that it left is taken for what a later one made. Its settings go last:
   * nothing is left that they do not guard.
   * @param start the file that the later run starts from: a best checkpoint or a ticket stays, until that run has its own
   */
  discard(start?: string): void {
    for (const name of ['best-ra.safetensors', 'best-sa.safetensors', 'ticket.safetensors'])
      if (start === undefined || !isSameFile(start, this.file(name))) this.remove(name);
    const others = ['checkpoint.safetensors', 'samples.safetensors', 'distances.json', 'report.html', 'result.json'];
    for (const name of [...others, 'config.json']) this.remove(name);
  }

  /**
   * Prepares this folder for a run that goes on here from another's checkpoint: an earlier run in it is forgotten, and the best checkpoints are those of
   * the source. Nothing happens where both paths lead to the same folder. To be called before the checkpoint is saved here.
   */
  takeOver(source: RunFolder): void {
    if (realpathSync(source.path) === realpathSync(this.path)) return;
    this.discard();
    for (const name of ['best-ra.safetensors', 'best-sa.safetensors']) {
      if (source.has(name)) writeFileAtomic(this.file(name), readFileBytes(source.file(name)));
    }
  }

  file(name: string): string {
    return join(this.path, name);
  }

  has(name: string): boolean {
    return existsSync(this.file(name));
  }

  /** Removes a file, or a folder with all that is in it, if there is one. */
  remove(name: string): void {
    rmSync(this.file(name), { recursive: true, force: true });
  }

  saveConfig(config: TrainConfig): void {
    writeFileAtomic(this.file('config.json'), encodeConfig(config));
  }

  /** The saved configuration, or undefined where there is none yet. */
  loadConfig(): TrainConfig | undefined {
    const path = this.file('config.json');
    return existsSync(path) ? decodeConfig(readFileText(path), path) : undefined;
  }

  /** @throws UsageError naming each flag that differs, if the run of this folder has other settings */
  assertSameRun(config: TrainConfig): void {
    const saved = this.loadConfig();
    if (saved) assertSameRun(saved, config, this.path);
  }

  /** Which kernels the run computes with: a text of `encodeChoices`. */
  saveKernels(choices: string): void {
    writeFileAtomic(this.file('kernels.json'), choices);
  }

  /** The saved text, or undefined in the folder of a run from before there was one. */
  loadKernels(): string | undefined {
    const path = this.file('kernels.json');
    return existsSync(path) ? readFileText(path) : undefined;
  }

  saveCheckpoint(checkpoint: Checkpoint, name: CheckpointName = 'checkpoint'): void {
    writeFileAtomic(this.file(`${name}.safetensors`), encodeCheckpoint(checkpoint));
  }

  /** The saved checkpoint, or undefined where there is none yet. */
  loadCheckpoint(name: CheckpointName = 'checkpoint'): Checkpoint | undefined {
    const path = this.file(`${name}.safetensors`);
    return existsSync(path) ? decodeCheckpoint(readFileBytes(path), path) : undefined;
  }

  appendMetrics(metrics: EpochMetrics): void {
    appendLine(this.file('metrics.jsonl'), JSON.stringify(metrics));
  }

  /**
   * Makes `metrics.jsonl` agree with a checkpoint's history: one line for each of its epochs and none after. The file's own line of an
   * epoch is kept, timings included, where it agrees with the history; a torn or foreign line is replaced.
   * @param source the folder whose lines they are @returns the seconds of the epochs, as far as lines have them
   */
  restoreMetrics(history: readonly EpochHistory[], source: RunFolder = this): number {
    const path = source.file('metrics.jsonl');
    const found = new Map<string, string>();
    for (const line of existsSync(path) ? readFileText(path).split('\n') : []) {
      try {
        found.set(JSON.stringify(withoutTimings(JSON.parse(line))), line);
      } catch {
        // A torn line (the process was killed while writing it), or the empty one after the last line end.
      }
    }
    const lines = history.map(row => found.get(JSON.stringify(row)) ?? JSON.stringify(row));
    writeFileAtomic(this.file('metrics.jsonl'), lines.map(line => `${line}\n`).join(''));
    return lines.reduce((sum, line) => sum + ((JSON.parse(line) as Partial<EpochMetrics>).seconds ?? 0), 0);
  }

  /** The saved result, or undefined where the run has not ended yet. */
  loadResult(): TrainResult | undefined {
    const path = this.file('result.json');
    return existsSync(path) ? (readFileJson(path) as TrainResult) : undefined;
  }

  saveResult(result: TrainResult): void {
    writeFileAtomic(this.file('result.json'), `${JSON.stringify(result, null, 2)}\n`);
  }
}

/** Whether two paths lead to one file, which is there. */
const isSameFile = (a: string, b: string): boolean => existsSync(a) && existsSync(b) && realpathSync(a) === realpathSync(b);

/** Removes folders, of which each is inside the next, up to the first that holds something. */
function removeEmpty(folders: readonly string[]): void {
  try {
    for (const folder of folders) rmdirSync(folder);
  } catch {
    // this one and those around it are in use
  }
}

/** What `work` returns, while the folders are taken for it alone (`RunFolder.lock`). */
export async function whileLocked<T>(folders: readonly RunFolder[], work: () => Promise<T>): Promise<T> {
  const releases: (() => void)[] = [];
  try {
    for (const folder of folders) releases.unshift(folder.lock());
    return await work();
  } finally {
    for (const release of releases) release();
  }
}
