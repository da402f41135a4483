/**
 * Projected gradient descent (Madry et al. 2018) and FGSM in Linf and L2. Attacks ascend a loss of the logits, act on raw pixels, and stay in the
 * eps ball and in [0, 1]. They compute gradients by pixels only.
 */
import * as F from '../autograd/index.ts';
import { attackStep } from '../kernels/attack.ts';
import { elementwise } from '../tensor/elementwise.ts';
import type { Random } from '../tensor/philox.ts';
import { type RandomOptions, randomUniform } from '../tensor/random.ts';
import { empty, scope, type Tensor } from '../tensor/tensor.ts';

export type Norm = 'linf' | 'l2';

/** Sizes in units of pixels in [0, 1]. */
export interface AttackSettings {
  readonly norm: Norm;
  readonly eps: number;
  readonly stepSize: number;
  readonly steps: number;
  readonly randomInit: boolean;
}

/** What is ascended: from logits [N, K] and int32 labels [N] to a loss of one element. */
export type AttackLoss = (logits: Tensor, labels: Tensor) => Tensor;

export type Forward = (x: Tensor) => Tensor;

/** Cross-entropy; summed, so that a sample's gradient does not depend on the batch. */
export const crossEntropyLoss: AttackLoss = (logits, labels) => F.crossEntropy(logits, labels, { reduction: 'sum' });

/** Carlini and Wagner's margin max_{j != y} z_j - z_y. */
export const cwLoss: AttackLoss = (logits, labels) => F.sum(F.margin(logits, labels));

/** Turns a loss into its targeted version: approach `target` instead of leaving the label. */
export const targeted =
  (loss: AttackLoss): AttackLoss =>
  (logits, target) =>
    F.neg(loss(logits, target));

/** One step of adv along the loss gradient g, projected to the ball around x and to the box: a new tensor. */
export function projectedStep(
  x: Tensor,
  adv: Tensor,
  g: Tensor,
  { norm, stepSize, eps }: Pick<AttackSettings, 'norm' | 'stepSize' | 'eps'>,
): Tensor {
  const y = empty(x.device, x.shape);
  attackStep(x.device, norm, x.storage, adv.storage, g.storage, y.storage, x.shape[0], x.size / x.shape[0], stepSize, eps);
  return y;
}

/** A random start. Linf: x + eps·U(-1, 1), clipped to the box. L2: a uniform point of the box, projected to the ball (which keeps the box). */
export function randomStart(
  x: Tensor,
  { norm, eps }: Pick<AttackSettings, 'norm' | 'eps'>,
  random: Random,
  options?: RandomOptions,
): Tensor {
  const { device, shape } = x;
  if (norm === 'linf') {
    const noise = randomUniform(device, shape, random, -eps, eps, options);
    return elementwise('clamp', [elementwise('add', [x, noise])], [0, 1]);
  }
  // with step size 0 the step is the projection alone
  return projectedStep(x, randomUniform(device, shape, random, 0, 1, options), x, { norm, eps, stepSize: 0 });
}

/** The gradient of the loss by the pixels; inside of `noGrad` too. */
export function inputGradient(forward: Forward, adv: Tensor, labels: Tensor, loss: AttackLoss): Tensor {
  const input = F.track(F.detach(adv));
  const value = F.enableGrad(() => loss(forward(input), labels));
  return F.grad(value, [input])[0];
}

/**
 * The last iterate of PGD, [N, C, H, W].
 * @param forward the model in the mode that the protocol asks for; its parameters' gradients are not computed
 * @param random for the random start @param loss what is ascended, cross-entropy by default
 */
export function pgd(
  forward: Forward,
  x: Tensor,
  labels: Tensor,
  settings: AttackSettings,
  random: Random,
  options?: RandomOptions,
  loss: AttackLoss = crossEntropyLoss,
): Tensor {
  const { device } = x;
  let adv = settings.randomInit ? scope(device, () => randomStart(x, settings, random, options)) : x;
  for (let i = 0; i < settings.steps; i++) {
    const next = scope(device, () => projectedStep(x, adv, inputGradient(forward, adv, labels, loss), settings));
    if (adv !== x) adv.dispose();
    adv = next;
  }
  return adv === x ? F.detach(x) : adv;
}

/** The fast gradient sign method (Goodfellow et al. 2015): one step of size eps from x. */
export function fgsm(forward: Forward, x: Tensor, labels: Tensor, { norm, eps }: Pick<AttackSettings, 'norm' | 'eps'>): Tensor {
  return scope(x.device, () =>
    projectedStep(x, x, inputGradient(forward, x, labels, crossEntropyLoss), { norm, eps, stepSize: eps }),
  );
}
