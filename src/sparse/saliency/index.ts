/**
 * The registry of initial masks by score: one network-wide choice of the largest. The densities of the layers come out of it; those that fix them
 * beforehand are in `densities/`.
 */
import type { Module } from '../../nn/module.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { assertReachable } from '../densities/index.ts';
import type { Masks } from '../masks.ts';
import { maskedParameters } from '../masks.ts';
import { graspScores } from './grasp.ts';
import { magnitudeScores } from './magnitude.ts';
import { randomScores } from './random.ts';
import { globalCount, keepLargest, type Sample, type Scores, totals } from './scores.ts';
import { snipScores } from './snip.ts';
import { synflowScores } from './synflow.ts';

export type { Sample, Scores } from './scores.ts';

/** What a score may look at. */
export interface Evidence {
  readonly model: Module;
  /** Training samples as they are, in batches. */
  readonly samples: readonly Sample[];
  /** [C, H, W] of an image. */
  readonly shape: readonly number[];
  readonly density: number;
}

type Rule = (evidence: Evidence, weights: ReadonlyMap<string, Tensor>, masks: Masks) => Scores | Promise<Scores>;

const magnitude: Rule = (_, weights) => magnitudeScores(weights);

export const saliencies = {
  random: (_, weights, masks) => randomScores(weights, masks.random),
  magnitude,
  /** Magnitude again: its weights are those of a trained network. */
  omp: magnitude,
  snip: ({ model, samples }, weights) => snipScores(model, weights, samples),
  grasp: ({ model, samples }, weights) => graspScores(model, weights, samples),
  synflow: ({ model, shape, density }, weights) => synflowScores(model, weights, shape, density),
} satisfies Record<string, Rule>;
export type Saliency = keyof typeof saliencies;

/** Scores of which samples are used. */
export const needsSamples = (how: Saliency): boolean => how === 'snip' || how === 'grasp';

/** Makes the masks those of the largest scores: n - int((1 - density)·n) of all n weights. @throws UsageError for a density that keeps none */
export async function initialiseBySaliency(masks: Masks, how: Saliency, evidence: Evidence): Promise<void> {
  assertReachable(masks.layers, evidence.density, 1);
  const weights = maskedParameters(evidence.model);
  const total = masks.layers.reduce((n, l) => n + l.size, 0);
  const rule: Rule = saliencies[how];
  const scores = await rule(evidence, weights, masks);
  const chosen = keepLargest(scores, globalCount(total, evidence.density));
  masks.adopt(chosen, await totals(chosen));
  for (const t of [...scores.values(), ...chosen.values()]) t.dispose();
}
