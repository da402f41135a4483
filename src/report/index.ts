/** Reports: from the folders of runs to one page that can be mailed, archived and read anywhere. */
import { writeFileAtomic } from '../data/files.ts';
import { UsageError } from '../errors.ts';
import { type ReportOptions, renderReport } from './page.ts';
import { loadRun } from './run.ts';

export { type ReportOptions, renderReport } from './page.ts';
export { loadRun, type RunData } from './run.ts';

/**
 * Reads the runs in `folders` and writes their report to `outFile`, whole or not at all. Throws UsageError without a folder and
 * FileError where a folder is no run, a file of it is damaged or `outFile` cannot be written.
 */
export function writeReport(folders: readonly string[], outFile: string, options: ReportOptions = {}): void {
  if (folders.length === 0) throw new UsageError('report: no run given; name at least one folder of a run');
  writeFileAtomic(outFile, renderReport(folders.map(loadRun), options));
}
