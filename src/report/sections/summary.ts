/** A run's headline numbers: from result.json, or, while the run goes on, from the epochs so far by the same rule. */
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
