/** A run's headline numbers: from result.json, or, while the run goes on, from the epochs so far by the same rule; and whether they compare. */
import type { EpochMetrics, RunData, RunResult } from '../run.ts';

export interface Summary extends Pick<RunResult, 'best' | 'final' | 'gap' | 'flops' | 'density'> {
  /** False while the run has no result.json. */
  finished: boolean;
  /** Best - final. */
  difference: { ra: number; sa: number };
}

export function summarise({ result, metrics }: RunData): Summary {
  const { best, final, ...rest } = result ?? soFar(metrics);
  const difference = { ra: best.testRa - final.testRa, sa: best.testSa - final.testSa };
  return { ...rest, best, final, difference, finished: result !== undefined };
}

/** The data set that a run trains and is tested on. */
export const dataSetOf = ({ result, config }: RunData): string => result?.dataset || String(config.dataset ?? '');

/** Whether accuracies of the runs may be ranked: they are of the same data set. */
export const comparable = (runs: readonly RunData[]): boolean => new Set(runs.map(dataSetOf)).size <= 1;

/** Best is the epoch of the highest validation RA, the first one of equals. */
function soFar(metrics: EpochMetrics[]): Omit<Summary, 'finished' | 'difference'> {
  const best = metrics.reduce<EpochMetrics | undefined>(
    (top, epoch) => (Number.isFinite(epoch.valRa) && !(top && top.valRa >= epoch.valRa) ? epoch : top),
    undefined,
  );
  const last = metrics.at(-1);
  const of = (epoch: EpochMetrics | undefined, key: 'epoch' | 'testRa' | 'testSa' | 'valRa' | 'density'): number =>
    epoch?.[key] ?? Number.NaN;
  return {
    density: of(last, 'density'),
    best: { epoch: of(best, 'epoch'), testRa: of(best, 'testRa'), testSa: of(best, 'testSa'), valRa: of(best, 'valRa') },
    final: { testRa: of(last, 'testRa'), testSa: of(last, 'testSa') },
    gap: { trainRa: Number.NaN, testRa: Number.NaN, gap: Number.NaN },
    flops: {
      inferenceDense: Number.NaN,
      inferenceReal: Number.NaN,
      trainingDense: Number.NaN,
      trainingReal: Number.NaN,
      formula: '',
    },
  };
}
