/**
 * Batch normalisation with PyTorch's semantics. Statistics are taken per channel (axis 1) over every other axis.
 *
 *   y = gamma·(x - mean)/sqrt(var + eps) + beta,   relu after it where asked
 *
 * Train mode normalises by the batch's mean and biased variance; running statistics move towards the mean and the *unbiased* variance.
 */
import { type Ref, ref, zip } from './array.ts';
import { relu } from './elementwise.ts';

export interface NormOptions {
  eps?: number;
  relu?: boolean;
}

/** For every channel, the positions of its values in an array [N, C, ...]. */
function channelMembers(shape: readonly number[]): number[][] {
  const [N, C] = shape;
  const inner = shape.slice(2).reduce((product, n) => product * n, 1);
  const members = Array.from({ length: C }, () => [] as number[]);
  for (let n = 0; n < N; n++)
    for (let c = 0; c < C; c++) for (let i = 0; i < inner; i++) members[c].push((n * C + c) * inner + i);
  return members;
}

/** Mean and biased variance of every channel, each [C]. */
export function batchStatistics(x: Ref): { mean: Ref; variance: Ref } {
  const members = channelMembers(x.shape);
  const mean = members.map(list => list.reduce((sum, i) => sum + x.data[i], 0) / list.length);
  const variance = members.map((list, c) => list.reduce((sum, i) => sum + (x.data[i] - mean[c]) ** 2, 0) / list.length);
  return { mean: ref([mean.length], mean), variance: ref([variance.length], variance) };
}

/** Running statistics after one train-mode forward: old + momentum·(batch - old), the variance unbiased (needs two values a channel). */
export function updateRunning(x: Ref, running: { mean: Ref; variance: Ref }, momentum = 0.1): { mean: Ref; variance: Ref } {
  const batch = batchStatistics(x);
  const count = x.data.length / x.shape[1];
  const move = (old: number, value: number) => (1 - momentum) * old + momentum * value;
  return {
    mean: zip(running.mean, batch.mean, move),
    variance: zip(running.variance, batch.variance, (old, biased) => move(old, (biased * count) / (count - 1))),
  };
}

/** (x - mean)/sqrt(var + eps) with the channel's statistics. */
function normalise(x: Ref, mean: Ref, variance: Ref, eps: number): Ref {
  const out = ref(x.shape);
  channelMembers(x.shape).forEach((list, c) => {
    for (const i of list) out.data[i] = (x.data[i] - mean.data[c]) / Math.sqrt(variance.data[c] + eps);
  });
  return out;
}

/** gamma·x + beta per channel. */
function affine(x: Ref, gamma: Ref, beta: Ref): Ref {
  const out = ref(x.shape);
  channelMembers(x.shape).forEach((list, c) => {
    for (const i of list) out.data[i] = gamma.data[c] * x.data[i] + beta.data[c];
  });
  return out;
}

/** The gradient before the relu, and from it dgamma = sum of g·xhat and dbeta = sum of g. */
function affineBackward(xhat: Ref, gamma: Ref, beta: Ref, options: NormOptions, gradOutput: Ref) {
  const g = options.relu ? relu.backward(affine(xhat, gamma, beta), gradOutput) : gradOutput;
  const members = channelMembers(xhat.shape);
  const dGamma = members.map(list => list.reduce((sum, i) => sum + g.data[i] * xhat.data[i], 0));
  const dBeta = members.map(list => list.reduce((sum, i) => sum + g.data[i], 0));
  return { g, members, dGamma: ref(gamma.shape, dGamma), dBeta: ref(beta.shape, dBeta) };
}

const finish = (y: Ref, options: NormOptions) => (options.relu ? relu.forward(y) : y);
const epsOf = (options: NormOptions) => options.eps ?? 1e-5;

/** Train mode: x [N, C, ...], gamma and beta [C]. */
export const batchNormTrain = {
  forward(x: Ref, gamma: Ref, beta: Ref, options: NormOptions = {}): Ref {
    const { mean, variance } = batchStatistics(x);
    return finish(affine(normalise(x, mean, variance, epsOf(options)), gamma, beta), options);
  },
  /** [dx, dgamma, dbeta]; dx = gamma/sqrt(var + eps)·(g - mean(g) - xhat·mean(g·xhat)), for the statistics depend on x too. */
  backward(x: Ref, gamma: Ref, beta: Ref, options: NormOptions, gradOutput: Ref): [Ref, Ref, Ref] {
    const { mean, variance } = batchStatistics(x);
    const xhat = normalise(x, mean, variance, epsOf(options));
    const { g, members, dGamma, dBeta } = affineBackward(xhat, gamma, beta, options, gradOutput);
    const dx = ref(x.shape);
    members.forEach((list, c) => {
      const scale = gamma.data[c] / Math.sqrt(variance.data[c] + epsOf(options));
      for (const i of list) {
        dx.data[i] = scale * (g.data[i] - dBeta.data[c] / list.length - (xhat.data[i] * dGamma.data[c]) / list.length);
      }
    });
    return [dx, dGamma, dBeta];
  },
};

/** Eval mode: the running statistics [C] are constants. */
export const batchNormEval = {
  forward(x: Ref, gamma: Ref, beta: Ref, running: { mean: Ref; variance: Ref }, options: NormOptions = {}): Ref {
    return finish(affine(normalise(x, running.mean, running.variance, epsOf(options)), gamma, beta), options);
  },
  /** [dx, dgamma, dbeta]; dx = g·gamma/sqrt(var + eps). */
  backward(
    x: Ref,
    gamma: Ref,
    beta: Ref,
    running: { mean: Ref; variance: Ref },
    options: NormOptions,
    gradOutput: Ref,
  ): [Ref, Ref, Ref] {
    const xhat = normalise(x, running.mean, running.variance, epsOf(options));
    const { g, members, dGamma, dBeta } = affineBackward(xhat, gamma, beta, options, gradOutput);
    const dx = ref(x.shape);
    members.forEach((list, c) => {
      for (const i of list) dx.data[i] = (g.data[i] * gamma.data[c]) / Math.sqrt(running.variance.data[c] + epsOf(options));
    });
    return [dx, dGamma, dBeta];
  },
};
