/** Batch normalisation, optionally with ReLU, over [N, C, ...]. */
import * as kernel from '../kernels/norm.ts';
import { empty, sizeOf, type Tensor } from './tensor.ts';

/** mean, invstd, scale = γ·invstd and shift = β - mean·scale of each channel: [4, C]. */
export type NormStats = Tensor;

/** Running statistics, updated in place: running += momentum·(batch - running), the variance unbiased. */
export interface Running {
  mean: Tensor;
  var: Tensor;
  momentum: number;
}

export function normShape(x: Tensor): kernel.NormShape {
  return { n: x.shape[0], c: x.shape[1], hw: sizeOf(x.shape.slice(2)) };
}

/** Statistics of the batch (biased variance); updates `running` where given. */
export function batchStats(x: Tensor, gamma: Tensor, beta: Tensor, eps: number, running?: Running): NormStats {
  const s = normShape(x);
  const stats = empty(x.device, [4, s.c]);
  const update = running && { mean: running.mean.storage, var: running.var.storage, momentum: running.momentum };
  kernel.batchStats(x.device, x.storage, gamma.storage, beta.storage, stats.storage, s, eps, update);
  return stats;
}

/** Statistics from the running ones. */
export function runningStats(gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, eps: number): NormStats {
  const stats = empty(gamma.device, [4, gamma.size]);
  kernel.runningStats(gamma.device, gamma.storage, beta.storage, mean.storage, variance.storage, stats.storage, gamma.size, eps);
  return stats;
}

/** y = [relu](x·scale + shift). */
export function normalise(x: Tensor, stats: NormStats, relu: boolean): Tensor {
  const y = empty(x.device, x.shape);
  kernel.normForward(x.device, x.storage, stats.storage, y.storage, normShape(x), relu);
  return y;
}

/** [2, C]: the gradients by β and by γ. */
export function normSums(x: Tensor, g: Tensor, stats: NormStats, relu: boolean): Tensor {
  const s = normShape(x);
  const sums = empty(x.device, [2, s.c]);
  kernel.normSums(x.device, x.storage, g.storage, stats.storage, sums.storage, s, relu);
  return sums;
}

/** The gradient by x; with `sums` through the batch statistics too (train mode). */
export function normBackward(x: Tensor, g: Tensor, stats: NormStats, sums: Tensor | undefined, relu: boolean): Tensor {
  const gx = empty(x.device, x.shape);
  kernel.normBackward(x.device, x.storage, g.storage, stats.storage, sums?.storage, gx.storage, normShape(x), relu);
  return gx;
}
