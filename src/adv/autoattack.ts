/**
 * The attacks by name, and AutoAttack (Croce and Hein, ICML 2020): an ensemble in stages, each on the samples that survived those before.
 * A stage is a list of runs (restarts, or targets), and these too go on with survivors only.
 */
import type { Random } from '../tensor/philox.ts';
import { scope, type Tensor } from '../tensor/tensor.ts';
import { apgd } from './apgd.ts';
import { type Outcome, type Pace, predict } from './batch.ts';
import { fab } from './fab.ts';
import { ceLoss, checkClasses, classAtRank, dlrLoss, type SampleLoss, targetedDlrLoss } from './losses.ts';
import type { Forward, Norm } from './pgd.ts';
import { squareAttack } from './square.ts';

/** What an ensemble's attacks share; eps in units of pixels in [0, 1]. */
export interface Ball {
  readonly norm: Norm;
  readonly eps: number;
}

/** One attack on a batch of images [N, C, H, W] with int32 labels [N]. */
export type Run = (forward: Forward, x: Tensor, labels: Tensor, random: Random, pace?: Pace) => Promise<Outcome>;

export interface Stage {
  readonly name: string;
  readonly runs: readonly Run[];
}

/** The attacks that an ensemble is made of. */
export const stageNames = ['apgd-ce', 'apgd-dlr', 'apgd-t', 'fab', 'fab-t', 'square'] as const;
export type StageName = (typeof stageNames)[number];

/** AutoAttack's three versions. */
export const ensembleNames = ['aa', 'aa-plus', 'aa-rand'] as const;
export type EnsembleName = (typeof ensembleNames)[number];

/** Target classes of the targeted attacks, where there are as many. */
const TARGETS = 9;
const ITERATIONS = 100;
const QUERIES = 5000;
/** Passes that `aa-rand` averages. */
const EOT = 20;

export interface StageOptions {
  /** Random restarts of the untargeted attacks (1). */
  readonly restarts?: number;
  /** See `ApgdSettings`. */
  readonly eot?: number;
  /** Iterations of APGD and FAB (100), queries of Square (5000). */
  readonly iterations?: number;
  readonly queries?: number;
}

/**
 * An attack with AutoAttack's settings.
 * @param classes the model's, which bound the number of targets @throws SparrowError where they are too few for the attack
 */
export function stage(name: StageName, ball: Ball, classes: number, options: StageOptions = {}): Stage {
  const { restarts = 1, eot = 1, iterations = ITERATIONS, queries = QUERIES } = options;
  if (name === 'apgd-dlr' || name === 'apgd-t') checkClasses(classes);
  const repeated = (run: (restart: number) => Run) => Array.from({ length: restarts }, (_, i) => run(i));
  const forTargets = (run: (rank: number) => Run) => Array.from({ length: Math.min(TARGETS, classes - 1) }, (_, i) => run(i + 1));
  const ascend = (loss: SampleLoss): Run => {
    const settings = { ...ball, steps: iterations, eot };
    return (forward, x, labels, random, pace) => apgd(forward, x, labels, settings, loss, random, pace);
  };
  const approach = (randomInit: boolean, targets?: Tensor): Run => {
    const settings = { ...ball, steps: iterations, randomInit };
    return (forward, x, labels, random, pace) => fab(forward, x, labels, settings, random, targets, pace);
  };
  const query: Run = (forward, x, labels, random, pace) => squareAttack(forward, x, labels, { ...ball, queries }, random, pace);
  const runs = {
    'apgd-ce': () => repeated(() => ascend(ceLoss)),
    'apgd-dlr': () => repeated(() => ascend(dlrLoss)),
    'apgd-t': () => forTargets(rank => towards(rank, targets => ascend(targetedDlrLoss(targets)))),
    fab: () => repeated(restart => approach(restart > 0)),
    'fab-t': () => forTargets(rank => towards(rank, targets => approach(false, targets))),
    square: () => [query],
  };
  return { name, runs: runs[name]() };
}

/** A run whose target is the class that stands at `rank` of the clean logits. */
function towards(rank: number, run: (targets: Tensor) => Run): Run {
  return async (forward, x, labels, random, pace) => {
    const targets = scope(x.device, () => classAtRank(predict(forward, x), rank));
    const outcome = await run(targets)(forward, x, labels, random, pace);
    targets.dispose();
    return outcome;
  };
}

/**
 * The stages of an ensemble. `aa` is AutoAttack's standard version; `aa-plus` adds restarts and the untargeted DLR and FAB; `aa-rand`,
 * for models that are random, averages gradients over 20 passes.
 */
export function ensemble(name: EnsembleName, ball: Ball, classes: number, options: StageOptions = {}): Stage[] {
  const make = (stageName: StageName, more: StageOptions = {}) => stage(stageName, ball, classes, { ...options, ...more });
  if (name === 'aa') return [make('apgd-ce'), make('apgd-t'), make('fab-t'), make('square')];
  if (name === 'aa-rand') return [make('apgd-ce', { eot: EOT }), make('apgd-dlr', { eot: EOT })];
  const five = { restarts: 5 };
  return [
    ...[make('apgd-ce', five), make('apgd-dlr', five), make('fab', five)],
    ...[make('square'), make('apgd-t'), make('fab-t')],
  ];
}
