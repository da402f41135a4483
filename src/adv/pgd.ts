/**
 * Projected gradient descent (Madry et al. 2018) and FGSM in Linf and L2. Attacks ascend a loss of the logits, act on raw pixels, and stay in the
 * eps ball and in [0, 1]. They compute gradients by pixels only.
 */
import * as F from '../autograd/index.ts';
import { attackStep } from '../kernels/attack.ts';
import { elementwise } from '../tensor/elementwise.ts';
import type { Random } from '../tensor/philox.ts';
import { type RandomOptions, randomUniform } from '../tensor/random.ts';
import { empty, scope, type Tensor, zeros } from '../tensor/tensor.ts';

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

/** A perturbation and the image that it makes, each [N, C, H, W]. */
export interface Perturbed {
  d: Tensor;
  adv: Tensor;
}

/** Where a perturbation has to stay. In L2 it is clipped to the box first and then scaled to the ball; with `ballFirst` the other way round. */
export interface Region extends Pick<AttackSettings, 'norm' | 'eps'> {
  readonly ballFirst?: boolean;
}

/** One step of the perturbation d along the loss gradient g, projected to the ball and to the box around x: new tensors. */
export function projectedStep(
  x: Tensor,
  d: Tensor,
  g: Tensor,
  { norm, stepSize, eps, ballFirst }: Region & Pick<AttackSettings, 'stepSize'>,
): Perturbed {
  const [next, adv] = [empty(x.device, x.shape), empty(x.device, x.shape)];
  const [n, size] = [x.shape[0], x.size / x.shape[0]];
  attackStep(x.device, norm, x.storage, d.storage, g.storage, next.storage, adv.storage, n, size, stepSize, eps, ballFirst);
  return { d: next, adv };
}

/** A random start. Linf: x + eps·U(-1, 1), clipped to the box. L2: a uniform point of the box, projected to the ball (which keeps the box). */
export function randomStart(
  x: Tensor,
  { norm, eps }: Pick<AttackSettings, 'norm' | 'eps'>,
  random: Random,
  options?: RandomOptions,
): Perturbed {
  const { device, shape } = x;
  const d =
    norm === 'linf'
      ? randomUniform(device, shape, random, -eps, eps, options)
      : elementwise('sub', [randomUniform(device, shape, random, 0, 1, options), x]);
  // with step size 0 the step is the projection alone
  return projectedStep(x, d, x, { norm, eps, stepSize: 0 });
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
  const start = (): Perturbed =>
    settings.randomInit ? randomStart(x, settings, random, options) : { d: zeros(device, x.shape), adv: x };
  let at = scope(device, start);
  for (let i = 0; i < settings.steps; i++) {
    const { d, adv } = at;
    at = scope(device, () => projectedStep(x, d, inputGradient(forward, adv, labels, loss), settings));
    d.dispose();
    if (adv !== x) adv.dispose();
  }
  at.d.dispose();
  return at.adv === x ? F.detach(x) : at.adv;
}

/** The fast gradient sign method (Goodfellow et al. 2015): one step of size eps from x. */
export function fgsm(forward: Forward, x: Tensor, labels: Tensor, { norm, eps }: Pick<AttackSettings, 'norm' | 'eps'>): Tensor {
  return scope(x.device, () => {
    const g = inputGradient(forward, x, labels, crossEntropyLoss);
    return projectedStep(x, zeros(x.device, x.shape), g, { norm, eps, stepSize: eps }).adv;
  });
}
