/** Batch normalisation, optionally with ReLU, over [N, C, ...]. */
import { SparrowError } from '../errors.ts';
import * as kernel from '../kernels/norm.ts';
import { wantFloat } from './checks.ts';
import { empty, sizeOf, type Tensor } from './tensor.ts';

export type { NormPlan } from '../kernels/norm.ts';

/** mean, invstd, scale = γ·invstd and shift = β - mean·scale of each channel: [4, C]. */
export type NormStats = Tensor;

/** Running statistics, updated in place: running += momentum·(batch - running), the variance unbiased. */
export interface Running {
  mean: Tensor;
  var: Tensor;
  momentum: number;
}

/** @throws Error unless x is [N, C, ...] and everything else has C elements, naming both shapes */
export function wantChannels(x: Tensor, gamma: Tensor, beta: Tensor, running?: Running): void {
  if (x.rank < 2) throw new Error(`batch norm of [${x.shape}]: [N, C, ...] is wanted`);
  const given = { gamma, beta, ...(running && { 'running mean': running.mean, 'running variance': running.var }) };
  wantFloat('batchNorm', x, ...Object.values(given));
  const c = x.shape[1];
  for (const [name, t] of Object.entries(given))
    if (t.size !== c)
      throw new Error(`batch norm of [${x.shape}] with ${name} [${t.shape}]: ${c} elements are wanted, one a channel`);
}

export function normShape(x: Tensor): kernel.NormShape {
  return { n: x.shape[0], c: x.shape[1], hw: sizeOf(x.shape.slice(2)) };
}

export interface TrainNorm {
  /** Added to the variance. */
  eps: number;
  relu: boolean;
  /** Updated where given. */
  running?: Running | undefined;
}

/**
 * y = [relu](x·scale + shift) with the statistics of the batch (biased variance).
 * @throws Error where the channels do not fit, naming both shapes; SparrowError for one value a channel, which has no variance
 * @param plan by default what suits the adapter, here and below
 */
export function normTrain(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  { eps, relu, running }: TrainNorm,
  plan?: kernel.NormPlan,
): { y: Tensor; stats: NormStats } {
  wantChannels(x, gamma, beta, running);
  const s = normShape(x);
  if (s.n * s.hw === 1)
    throw new SparrowError(
      `batch norm of [${x.shape}] in train mode: more than one value a channel is wanted, so two images or larger ones, or eval()`,
    );
  const y = empty(x.device, x.shape);
  const stats = empty(x.device, [4, s.c]);
  const update = running && { mean: running.mean.storage, var: running.var.storage, momentum: running.momentum };
  const options = { eps, relu, running: update };
  kernel.normTrain(x.device, x.storage, gamma.storage, beta.storage, stats.storage, y.storage, s, options, plan);
  return { y, stats };
}

/** Statistics from the running ones. */
export function runningStats(gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, eps: number): NormStats {
  const stats = empty(gamma.device, [4, gamma.size]);
  kernel.runningStats(gamma.device, gamma.storage, beta.storage, mean.storage, variance.storage, stats.storage, gamma.size, eps);
  return stats;
}

/** y = [relu](x·scale + shift). */
export function normalise(x: Tensor, stats: NormStats, relu: boolean, plan?: kernel.NormPlan): Tensor {
  const y = empty(x.device, x.shape);
  kernel.normForward(x.device, x.storage, stats.storage, y.storage, normShape(x), relu, plan);
  return y;
}

/** [2, C]: the gradients by β and by γ. */
export function normSums(x: Tensor, g: Tensor, stats: NormStats, relu: boolean, plan?: kernel.NormPlan): Tensor {
  const s = normShape(x);
  const sums = empty(x.device, [2, s.c]);
  kernel.normSums(x.device, x.storage, g.storage, stats.storage, sums.storage, s, relu, plan);
  return sums;
}

/** What a backward pass is told beside its inputs. */
export interface BackwardOptions {
  /** Whether ReLU followed. */
  relu: boolean;
  /** Another gradient by x, added to the one computed. */
  before?: Tensor | undefined;
}

/** Through the batch statistics (train mode): the gradient by x, and `normSums`. */
export function normTrainBackward(
  x: Tensor,
  g: Tensor,
  stats: NormStats,
  { relu, before }: BackwardOptions,
  plan?: kernel.NormPlan,
): { gx: Tensor; sums: Tensor } {
  const s = normShape(x);
  const gx = empty(x.device, x.shape);
  const sums = empty(x.device, [2, s.c]);
  const options = { relu, before: before?.storage };
  kernel.normTrainBackward(x.device, x.storage, g.storage, stats.storage, sums.storage, gx.storage, s, options, plan);
  return { gx, sums };
}

/** The gradient by x where the statistics are constants (eval mode). */
export function normBackward(
  x: Tensor,
  g: Tensor,
  stats: NormStats,
  { relu, before }: BackwardOptions,
  plan?: kernel.NormPlan,
): Tensor {
  const gx = empty(x.device, x.shape);
  const options = { relu, before: before?.storage };
  kernel.normBackward(x.device, x.storage, g.storage, stats.storage, gx.storage, normShape(x), options, plan);
  return gx;
}
