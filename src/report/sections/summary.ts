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

/** How many images of a set accuracies are of at most; nothing where they are of all. */
export const evalLimitOf = ({ config }: RunData): number | undefined =>
  typeof config.evalLimit === 'number' ? config.evalLimit : undefined;

/** How exact accuracies of so few images are: by the standard error of one that is a half, the largest. Nothing where all are of whole sets. */
export function exactness(limits: readonly (number | undefined)[]): string | undefined {
  const known = [...new Set(limits)].filter(limit => limit !== undefined).sort((a, b) => a - b);
  if (known.length === 0) return undefined;
  const which = limits.includes(undefined) ? 'Accuracies under --eval-limit' : 'Accuracies';
  const errors = known.map(limit => (100 * Math.sqrt(0.25 / limit)).toFixed(1));
  return `${which} are of at most ${known.join(' or ')} images each; the standard error of one is about ${errors.join(' or ')} points.`;
}

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
