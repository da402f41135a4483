/**
 * Batch normalisation, optionally fused with ReLU: y = [relu](γ·(x - μ)/√(σ² + eps) + β).
 *
 * First derivatives come from fused kernels. When the backward pass itself is recorded, the same formula is built from elementary operations
 * and differentiated instead.
 */

import type { Running } from '../tensor/norm.ts';
import * as raw from '../tensor/norm.ts';
import * as shapes from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { add, mul, relu as reluOp, rsqrt, square, sub } from './elementwise.ts';
import { mean } from './reduce.ts';
import { reshape } from './shape.ts';
import { grad, isRecording, record } from './tape.ts';

export interface NormOptions {
  /** Batch statistics (and their gradient) in train mode, the running ones in eval mode. */
  train: boolean;
  /** Added to the variance. */
  eps: number;
  /** Read in eval mode; updated in train mode. */
  running: Running;
  relu?: boolean;
}

export function batchNorm(x: Tensor, gamma: Tensor, beta: Tensor, o: NormOptions): Tensor {
  const relu = o.relu ?? false;
  const stats = o.train
    ? raw.batchStats(x, gamma, beta, o.eps, o.running)
    : raw.runningStats(gamma, beta, o.running.mean, o.running.var, o.eps);
  const y = raw.normalise(x, stats, relu);
  return record('batchNorm', [x, gamma, beta], y, (g, [nx, ngamma, nbeta]) => {
    if (isRecording()) return grad(byFormula(x, gamma, beta, o), [x, gamma, beta], { seed: g, createGraph: true });
    const sums = o.train || ngamma || nbeta ? raw.normSums(x, g, stats, relu) : undefined;
    const c = gamma.size;
    return [
      nx ? raw.normBackward(x, g, stats, o.train ? sums : undefined, relu) : undefined,
      ngamma ? shapes.slice(sums!, [1, 0], [1, c]).reshape([c]) : undefined,
      nbeta ? shapes.slice(sums!, [0, 0], [1, c]).reshape([c]) : undefined,
    ];
  });
}

/** The same values from elementary operations; running statistics are left alone. */
function byFormula(x: Tensor, gamma: Tensor, beta: Tensor, o: NormOptions): Tensor {
  const axes = x.shape.map((_, d) => d).filter(d => d !== 1);
  const channel = x.shape.map((s, d) => (d === 1 ? s : 1));
  const mu = o.train ? mean(x, { axes, keepDims: true }) : o.running.mean.reshape(channel);
  const centred = sub(x, mu);
  const variance = o.train ? mean(square(centred), { axes, keepDims: true }) : o.running.var.reshape(channel);
  const normal = mul(centred, rsqrt(add(variance, o.eps)));
  const y = add(mul(normal, reshape(gamma, channel)), reshape(beta, channel));
  return o.relu ? reluOp(y) : y;
}
