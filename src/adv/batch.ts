/** Arithmetic on batches of samples [N, ...] with one number for each sample [N], and the state of an attack from step to step. */
import * as F from '../autograd/index.ts';
import type { Device } from '../device/index.ts';
import { elementwise, mul } from '../tensor/elementwise.ts';
import { oneHot } from '../tensor/index.ts';
import type { Random } from '../tensor/philox.ts';
import { randomUniform } from '../tensor/random.ts';
import { argmax, max, sum } from '../tensor/reduce.ts';
import { type Shape, scope, type Tensor } from '../tensor/tensor.ts';
import { type Forward, type Norm, type Perturbed, projectedStep, type Region } from './pgd.ts';

/** What an attack made of a batch. */
export interface Outcome {
  /** [N, C, H, W] in the ball and in the box: what fools the model, else the attack's best attempt. */
  adv: Tensor;
  /** [N]: 1 where `adv` is misclassified, else 0. */
  fooled: Tensor;
}

/** Called between steps with those done; an attack waits for it, so that the device is not sent work without bound. */
export type Pace = (done: number, total: number) => Promise<void> | void;

/** One number a sample, shaped to broadcast over x's samples. */
export function column(values: Tensor, x: Tensor): Tensor {
  return values.reshape([x.shape[0], ...x.shape.slice(1).map(() => 1)]);
}

/** Every sample of x times its own number. */
export function scaleSamples(x: Tensor, factors: Tensor): Tensor {
  return mul(x, column(factors, x));
}

/** The samples of a where `mask` [N] is not 0, else those of b. */
export function choose(mask: Tensor, a: Tensor, b: Tensor): Tensor {
  return elementwise('where', [column(mask, a), a, b]);
}

const pixelAxes = (x: Tensor) => x.shape.slice(1).map((_, d) => d + 1);

/** The norm of every sample, [N]. */
export function sampleNorms(x: Tensor, norm: Norm | 'l1'): Tensor {
  const axes = pixelAxes(x);
  if (norm === 'linf') return max(elementwise('abs', [x]), { axes });
  if (norm === 'l1') return sum(elementwise('abs', [x]), { axes });
  return elementwise('sqrt', [sum(elementwise('square', [x]), { axes })]);
}

/** The scalar product of every sample of a with that of b, [N]. */
export function sampleProducts(a: Tensor, b: Tensor): Tensor {
  return sum(mul(a, b), { axes: pixelAxes(a) });
}

/** Every sample scaled to norm 1; a sample of zeros stays. */
export function normalised(x: Tensor, norm: Norm): Tensor {
  const sizes = elementwise('addScalar', [sampleNorms(x, norm)], [1e-12]);
  return elementwise('div', [x, column(sizes, x)]);
}

/** The perturbation d brought into the eps ball and into the box around x. */
export function project(x: Tensor, d: Tensor, region: Region): Perturbed {
  return projectedStep(x, d, x, { ...region, stepSize: 0 });
}

/** 1 where the largest logit (of equal ones the first) is not the label's, else 0: [N]. */
export function misclassified(logits: Tensor, labels: Tensor): Tensor {
  const predicted = oneHot(argmax(logits, { axes: [1] }), logits.shape[1]);
  return F.noGrad(() => elementwise('isZero', [F.labelLogit(predicted, labels)]));
}

/** The logits of images, without gradients. */
export function predict(forward: Forward, x: Tensor): Tensor {
  return scope(x.device, () => F.noGrad(() => F.detach(forward(x))));
}

/** -1 or 1, each with probability one half. */
export function randomSigns(device: Device, shape: Shape, random: Random): Tensor {
  const coins = elementwise('floor', [randomUniform(device, shape, random, 0, 2)]);
  return elementwise('affine', [coins], [2, -1]);
}

/** Named tensors that an attack carries from step to step. */
type StateOf<S> = { [K in keyof S]: Tensor };

/** The tensors of `of` that are not among `others`. */
const besides = (of: object, others: object): Tensor[] => {
  const known = new Set<Tensor>(Object.values(others));
  return [...new Set<Tensor>(Object.values(of))].filter(t => !known.has(t));
};

/** What `work` makes of a state. What the state held and the result does not goes back to the pool. */
export function advance<S extends StateOf<S>, R extends StateOf<R> = S>(device: Device, before: S, work: (before: S) => R): R {
  let after: R | undefined;
  // only new tensors leave the scope: one that is carried over has its owner already
  scope(device, () => {
    after = work(before);
    return besides(after, before);
  });
  for (const t of besides(before, after!)) t.dispose();
  return after!;
}
