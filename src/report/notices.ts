/** What a reader of several runs has to know before comparing them: on the page, and on the terminal. */
import { trainFlags } from '../train/config.ts';
import { type Flag, flagName } from '../train/flags.ts';
import type { RunData } from './run.ts';
import { valueText } from './sections/configuration.ts';
import { withOwnLabels } from './sections/section.ts';
import { dataSetOf, evaluationSettings, evaluationValue, imagesOf } from './sections/summary.ts';

/** Whether an epoch of the run has ended, so that there is something to report. */
export const hasEpochs = (run: RunData): boolean => run.metrics.length > 0 || run.result !== undefined;

/** One sentence for each thing. */
export function noticesOf(shown: readonly RunData[]): string[] {
  const runs = withOwnLabels(shown);
  const notices: string[] = [];
  const dataSets = sides(runs, imagesOf, dataSetText);
  if (dataSets !== undefined) notices.push(`The runs are on different data sets, their accuracies do not compare: ${dataSets}.`);
  const evaluations = evaluationSettings.flatMap(name => {
    const flag: Flag<unknown> = trainFlags[name];
    const text = (run: RunData): string => valueText(evaluationValue(run, name), flag);
    const values = sides(runs, text, text);
    return values === undefined ? [] : [`${flagName(name, flag)} ${values}`];
  });
  if (evaluations.length > 0)
    notices.push(`The runs are evaluated differently, their accuracies do not compare: ${evaluations.join('; ')}.`);
  const empty = runs.filter(run => !hasEpochs(run));
  if (empty.length > 0 && empty.length < runs.length) notices.push(`No epoch has ended yet: ${namesOf(empty)}.`);
  return notices;
}

const namesOf = (runs: readonly RunData[]): string => runs.map(run => run.label).join(', ');

/** 'cifar10 (A, B), svhn (C)': each value and the runs that have it. Nothing where all runs have the same. */
function sides(runs: readonly RunData[], key: (run: RunData) => string, text: (run: RunData) => string): string | undefined {
  const groups = [...new Set(runs.map(key))].map(value => runs.filter(run => key(run) === value));
  return groups.length > 1 ? groups.map(some => `${text(some[0])} (${namesOf(some)})`).join(', ') : undefined;
}

/** A data set's name, and of a folder of images its path. */
function dataSetText(run: RunData): string {
  const name = dataSetOf(run) || 'unknown';
  return name === 'folder' && run.config.data !== undefined ? `folder ${run.config.data}` : name;
}
