/** What a reader of several runs has to know before comparing them: on the page, and on the terminal. */
import type { RunData } from './run.ts';
import { dataSetOf } from './sections/summary.ts';

/** Whether an epoch of the run has ended, so that there is something to report. */
export const hasEpochs = (run: RunData): boolean => run.metrics.length > 0 || run.result !== undefined;

/** One sentence for each thing. */
export function noticesOf(runs: readonly RunData[]): string[] {
  const notices: string[] = [];
  const names = (some: readonly RunData[]): string => some.map(run => run.label).join(', ');
  const dataSets = new Map<string, RunData[]>();
  for (const run of runs) dataSets.set(dataSetOf(run), [...(dataSets.get(dataSetOf(run)) ?? []), run]);
  if (dataSets.size > 1) {
    const each = [...dataSets].map(([name, some]) => `${name || 'unknown'} (${names(some)})`).join(', ');
    notices.push(`The runs are on different data sets, their accuracies do not compare: ${each}.`);
  }
  const empty = runs.filter(run => !hasEpochs(run));
  if (empty.length > 0 && empty.length < runs.length) notices.push(`No epoch has ended yet: ${names(empty)}.`);
  return notices;
}
