/** Reports: from the folders of runs to one page that can be mailed, archived and read anywhere, to figures, and to a table. */
import { resolve } from 'node:path';
import { writeFileAtomic } from '../data/files.ts';
import { FileError, UsageError } from '../errors.ts';
import { hasEpochs } from './notices.ts';
import { type ReportOptions, renderReport } from './page.ts';
import { loadRun, type RunData } from './run.ts';

export { writeFigures } from './figureFiles.ts';
export { noticesOf } from './notices.ts';
export { figuresOf, type ReportOptions, renderReport } from './page.ts';
export { loadRun, type RunData } from './run.ts';
export { resultTable, type TableFormat, tableFormats, writeTable } from './table.ts';

export interface LoadOptions {
  /** Only settings and numbers: what a table of results needs, without weights, masks and images. */
  numbersOnly?: boolean;
  /** Told of each run that is read. */
  onRun?: (done: number, total: number) => void;
}

/**
 * Reads the runs in `folders`. Throws UsageError without a folder or with one given twice, and FileError where a folder is no run, a file
 * of it is damaged, or no epoch of any run has ended.
 */
export function loadRuns(folders: readonly string[], { numbersOnly = false, onRun }: LoadOptions = {}): RunData[] {
  if (folders.length === 0) throw new UsageError('report: no run given; name at least one folder of a run');
  const paths = folders.map(folder => resolve(folder));
  const twice = folders.find((_, i) => paths.indexOf(paths[i]) < i);
  if (twice !== undefined) throw new UsageError(`report: ${twice} is given twice; name each run once`);
  const runs = folders.map((folder, i) => {
    const run = loadRun(folder, numbersOnly);
    onRun?.(i + 1, folders.length);
    return run;
  });
  if (!runs.some(hasEpochs))
    throw new FileError(`${folders[0]}: no epoch has ended yet; report it when metrics.jsonl has a line`);
  return runs;
}

/** Writes the report of the runs in `folders`, whole or not at all. Throws as `loadRuns`, and FileError where `outFile` cannot be written. */
export function writeReport(folders: readonly string[], outFile: string, options: ReportOptions = {}): void {
  writeFileAtomic(outFile, renderReport(loadRuns(folders), options));
}
