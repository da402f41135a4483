/** The page that a finished run leaves in its folder. */
import { join } from 'node:path';
import { SparrowError } from '../errors.ts';
import * as engine from './engine.ts';

/** Writes report.html into a run's folder. The run itself is done, so what stands in the way of its page is told and is no failure. */
export async function writeRunPage(folder: string): Promise<void> {
  try {
    const { writeReport } = await engine.report();
    writeReport([folder], join(folder, 'report.html'));
  } catch (error) {
    if (!(error instanceof SparrowError)) throw error;
    process.stderr.write(`sparrow: report.html is not written: ${error.message}\n`);
  }
}
