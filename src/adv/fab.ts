/**
 * The fast adaptive boundary attack (Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack",
 * ICML 2020): it looks for the smallest perturbation, by steps onto the linearised decision boundary that lean towards the clean image.
 */
import * as F from '../autograd/index.ts';
import { hyperplaneStep } from '../kernels/hyperplane.ts';
import { add, div, elementwise, mul, sub } from '../tensor/elementwise.ts';
import { oneHot } from '../tensor/index.ts';
import type { Random } from '../tensor/philox.ts';
import { randomNormal, randomUniform } from '../tensor/random.ts';
import { slice } from '../tensor/shape.ts';
import { empty, full, scope, type Tensor, zeros } from '../tensor/tensor.ts';
import {
  advance,
  choose,
  misclassified,
  normalised,
  type Outcome,
  type Pace,
  predict,
  sampleNorms,
  sampleProducts,
  scaleSamples,
} from './batch.ts';
import type { AttackSettings, Forward, Norm } from './pgd.ts';

export interface FabSettings extends Pick<AttackSettings, 'norm' | 'eps' | 'steps'> {
  /** Starts from noise of norm eps/2 instead of the clean image. */
  readonly randomInit: boolean;
}

/** Largest weight of the clean image in a step (alpha_max of the paper). */
const CLEAN_WEIGHT = 0.1;
/** How far steps go beyond the boundary (eta). */
const OVERSHOOT = 1.05;
/** An adversarial point is drawn back to this part of its distance (beta). */
const BACKWARD = 0.9;
/** A distance that no perturbation has. */
const NEVER = 1e10;

/** A boundary linearised at a point: value [N], negative where the label still wins, and its slope by the pixels. */
interface Boundary {
  value: Tensor;
  slope: Tensor;
}

/** The boundary to int32 `targets` [N], or without them to the nearest other class. */
function boundary(forward: Forward, adv: Tensor, labels: Tensor, norm: Norm, targets: Tensor | undefined): Boundary {
  const input = F.track(F.detach(adv));
  return F.enableGrad(() => {
    const logits = forward(input);
    const own = F.labelLogit(logits, labels);
    if (targets) {
      const value = F.sub(F.labelLogit(logits, targets), own);
      return { value: F.detach(value), slope: F.grad(F.sum(value), [input])[0] };
    }
    return nearestBoundary(logits, own, input, labels, norm);
  });
}

/** The nearest by the linearised distance |value|/‖slope‖ in the dual norm. */
function nearestBoundary(logits: Tensor, own: Tensor, input: Tensor, labels: Tensor, norm: Norm): Boundary {
  const [n, classes] = logits.shape;
  const { device } = logits;
  const labelled = oneHot(labels, classes);
  let nearest = { distance: full(device, [n], NEVER), value: zeros(device, [n]), slope: zeros(device, input.shape) };
  for (let k = 0; k < classes; k++) {
    const value = F.sub(F.reshape(F.slice(logits, [0, k], [n, 1]), [n]), own);
    const [slope] = F.grad(F.sum(value), [input]);
    nearest = advance(device, nearest, before => {
      const length = elementwise('addScalar', [sampleNorms(slope, norm === 'linf' ? 'l1' : 'l2')], [1e-12]);
      const distance = div(elementwise('abs', [value]), length);
      const isLabel = slice(labelled, [0, k], [n, 1]).reshape([n]);
      const closer = mul(elementwise('less', [distance, before.distance]), elementwise('isZero', [isLabel]));
      return {
        distance: elementwise('where', [closer, distance, before.distance]),
        value: elementwise('where', [closer, value, before.value]),
        slope: choose(closer, slope, before.slope),
      };
    });
    slope.dispose();
  }
  return { value: nearest.value, slope: nearest.slope };
}

/** The smallest step from `point` onto the boundary whose value there is `value`, inside of the box. */
export function stepToBoundary(point: Tensor, value: Tensor, slope: Tensor, norm: Norm): Tensor {
  const step = empty(point.device, point.shape);
  const n = point.shape[0];
  hyperplaneStep(point.device, norm, point.storage, slope.storage, value.storage, step.storage, n, point.size / n);
  return step;
}

interface State {
  d: Tensor;
  /** The norm of the smallest adversarial perturbation so far, and its image. */
  distance: Tensor;
  nearest: Tensor;
}

/** The perturbation that makes x + d an image. */
function clipToBox(x: Tensor, d: Tensor): Tensor {
  return elementwise('clampTo', [d, elementwise('neg', [x]), elementwise('affine', [x], [-1, 1])]);
}

function start(x: Tensor, { norm, eps, randomInit }: FabSettings, random: Random): Tensor {
  const { device, shape } = x;
  if (!randomInit) return zeros(device, shape);
  const noise = norm === 'linf' ? randomUniform(device, shape, random, -1, 1) : randomNormal(device, shape, random);
  return clipToBox(x, mul(normalised(noise, norm), eps / 2));
}

/** d' = (1 - a)(d + eta·d1) + a·eta·d2: d1 leads from x + d to the boundary, d2 from x; a weighs them by their lengths. */
function move(x: Tensor, d: Tensor, { value, slope }: Boundary, norm: Norm): Tensor {
  const fromPoint = stepToBoundary(add(x, d), value, slope, norm);
  const fromClean = stepToBoundary(x, sub(value, sampleProducts(slope, d)), slope, norm);
  const length = (step: Tensor) => elementwise('clamp', [sampleNorms(step, norm)], [1e-8, NEVER]);
  const [own, clean] = [length(fromPoint), length(fromClean)];
  const weight = elementwise('clamp', [div(own, add(own, clean))], [0, CLEAN_WEIGHT]);
  const kept = elementwise('affine', [weight], [-1, 1]);
  const ahead = elementwise('axpy', [d, fromPoint], [OVERSHOOT]);
  return clipToBox(x, add(scaleSamples(ahead, kept), scaleSamples(mul(fromClean, OVERSHOOT), weight)));
}

/**
 * One run of FAB.
 * @param targets int32 [N]: only the boundary to these classes is approached; without them the nearest of all
 * @returns fooled where the smallest perturbation found is within eps; the clean image elsewhere
 */
export async function fab(
  forward: Forward,
  x: Tensor,
  labels: Tensor,
  settings: FabSettings,
  random: Random,
  targets?: Tensor,
  pace?: Pace,
): Promise<Outcome> {
  const { device } = x;
  const { norm, eps, steps } = settings;
  let state = scope(device, (): State => {
    const robust = elementwise('isZero', [misclassified(predict(forward, x), labels)]);
    return { d: start(x, settings, random), distance: mul(robust, NEVER), nearest: F.detach(x) };
  });
  for (let step = 1; step <= steps; step++) {
    state = advance(device, state, ({ d, distance, nearest }) => {
      const next = scope(device, () => move(x, d, boundary(forward, add(x, d), labels, norm, targets), norm));
      const adv = add(x, next);
      const fooled = misclassified(predict(forward, adv), labels);
      const length = sampleNorms(next, norm);
      const closer = mul(fooled, elementwise('less', [length, distance]));
      return {
        d: choose(fooled, mul(next, BACKWARD), next),
        distance: elementwise('where', [closer, length, distance]),
        nearest: choose(closer, adv, nearest),
      };
    });
    await pace?.(step, steps);
  }
  return advance(device, state, ({ distance, nearest }): Outcome => {
    const fooled = elementwise('lessEqual', [distance, full(device, [1], eps)]);
    return { adv: choose(fooled, nearest, x), fooled };
  });
}
