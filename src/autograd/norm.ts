/**
 * Batch normalisation, optionally fused with ReLU: y = [relu](γ·x̂ + β), x̂ = (x - μ)·r, r = 1/√(σ² + eps).
 *
 * First derivatives come from fused kernels. When the backward pass itself is recorded, the same formulas are written in differentiable
 * operations.
 */

import type { Running } from '../tensor/norm.ts';
import * as raw from '../tensor/norm.ts';
import * as shapes from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { add, gate, mul, rsqrt, square, sub } from './elementwise.ts';
import { mean, sum } from './reduce.ts';
import { reshape } from './shape.ts';
import { type Backward, isRecording, record } from './tape.ts';

export interface NormOptions {
  /** Batch statistics (and their gradient) in train mode, the running ones in eval mode. */
  train: boolean;
  /** Added to the variance. */
  eps: number;
  /** Read in eval mode; updated in train mode. */
  running: Running;
  relu?: boolean;
}

/** x [N, C, ...], gamma and beta [C]. @throws Error where the channels do not fit, naming both shapes */
export function batchNorm(x: Tensor, gamma: Tensor, beta: Tensor, o: NormOptions): Tensor {
  const relu = o.relu ?? false;
  const { y, stats } = o.train
    ? raw.normTrain(x, gamma, beta, { eps: o.eps, relu, running: o.running })
    : byRunning(x, gamma, beta, o);
  const backward: Backward = (g, [nx, ngamma, nbeta], before) => {
    if (isRecording()) return byFormula(relu ? gate(g, y) : g, x, gamma, o);
    const { gx, sums } =
      nx && o.train
        ? raw.normTrainBackward(x, g, stats, { relu, before: before(0) })
        : {
            gx: nx ? raw.normBackward(x, g, stats, { relu, before: before(0) }) : undefined,
            sums: ngamma || nbeta ? raw.normSums(x, g, stats, relu) : undefined,
          };
    const c = gamma.size;
    return [
      gx,
      ngamma ? shapes.slice(sums!, [1, 0], [1, c]).reshape([c]) : undefined,
      nbeta ? shapes.slice(sums!, [0, 0], [1, c]).reshape([c]) : undefined,
    ];
  };
  return record('batchNorm', [x, gamma, beta], y, backward, { relu });
}

function byRunning(x: Tensor, gamma: Tensor, beta: Tensor, { eps, running, relu = false }: NormOptions) {
  raw.wantChannels(x, gamma, beta, running);
  const stats = raw.runningStats(gamma, beta, running.mean, running.var, eps);
  return { stats, y: raw.normalise(x, stats, relu) };
}

/**
 * The gradients by x, γ and β, differentiable in g, x and γ:  ∂β = Σ g,  ∂γ = Σ g·x̂,  ∂x = γ·r·(g - (∂β + x̂·∂γ)/M) over the M elements of
 * a channel; in eval mode, where the statistics are constants, ∂x = γ·r·g.
 */
function byFormula(g: Tensor, x: Tensor, gamma: Tensor, o: NormOptions): Tensor[] {
  const axes = x.shape.map((_, d) => d).filter(d => d !== 1);
  const channel = x.shape.map((s, d) => (d === 1 ? s : 1));
  const mu = o.train ? mean(x, { axes, keepDims: true }) : o.running.mean.reshape(channel);
  const centred = sub(x, mu);
  const variance = o.train ? mean(square(centred), { axes, keepDims: true }) : o.running.var.reshape(channel);
  const r = rsqrt(add(variance, o.eps));
  const normal = mul(centred, r);
  const dGamma = sum(mul(g, normal), { axes, keepDims: true });
  const dBeta = sum(g, { axes, keepDims: true });
  const count = x.size / gamma.size;
  const direct = o.train ? sub(g, mul(add(dBeta, mul(normal, dGamma)), 1 / count)) : g;
  return [mul(direct, mul(r, reshape(gamma, channel))), reshape(dGamma, gamma.shape), reshape(dBeta, gamma.shape)];
}
