/** A run's headline numbers: from result.json, or, while the run goes on, from the epochs so far by the same rule; and whether they compare. */
import { resolve } from 'node:path';
import { trainFlags } from '../../train/config.ts';
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

/** Of a masked network; without a mask every weight is active from the beginning. */
export const itopRate = (epoch?: EpochMetrics): number => (epoch?.layers ? epoch.fired : Number.NaN);

/** The data set that a run trains and is tested on. */
export const dataSetOf = ({ result, config }: RunData): string => result?.dataset || String(config.dataset ?? '');

/** The data set as a key: any folder of images is one of its own, however its path is written. */
export function imagesOf(run: RunData): string {
  const name = dataSetOf(run);
  return name === 'folder' ? `folder ${resolve(String(run.config.data ?? ''))}` : name;
}

/** Settings that accuracies depend on beside the model: the images used and the attack of evaluation. */
export const evaluationSettings = ['evalLimit', 'norm', 'testEps', 'testStep', 'testGamma', 'testRandinit'] as const;

/** The value of such a setting; one that an older config.json lacks has its default. */
export const evaluationValue = ({ config }: RunData, name: (typeof evaluationSettings)[number]): unknown =>
  config[name] ?? trainFlags[name].default;

/** Whether accuracies of the runs may be ranked: they are of the same images, under the same attack. */
export function comparable(runs: readonly RunData[]): boolean {
  const evaluations = runs.map(run => [imagesOf(run), ...evaluationSettings.map(name => evaluationValue(run, name))]);
  return new Set(evaluations.map(evaluation => JSON.stringify(evaluation))).size <= 1;
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
