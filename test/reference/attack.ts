/**
 * Steps of projected gradient attacks (Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018). A
 * perturbation d belongs to images x in [0, 1]; g is the gradient of the loss by x + d. Norms are per sample, over all axes but the first.
 */
import { map, type Ref, ref, zip } from './array.ts';
import { clamp, sign } from './elementwise.ts';

/** The d for which x + d lies in [0, 1]: clip(x + d) - x. */
export function clipToBox(x: Ref, d: Ref): Ref {
  return zip(clamp.forward(add(x, d), 0, 1), x, (image, original) => image - original);
}

const add = (a: Ref, b: Ref) => zip(a, b, (left, right) => left + right);

/** Every sample times a factor of its own norm. */
function scaleSamples(d: Ref, factor: (norm: number) => number): Ref {
  const size = d.data.length / d.shape[0];
  const out = ref(d.shape);
  for (let n = 0; n < d.shape[0]; n++) {
    const sample = d.data.subarray(n * size, (n + 1) * size);
    const norm = Math.sqrt(sample.reduce((sum, value) => sum + value * value, 0));
    sample.forEach((value, i) => {
      out.data[n * size + i] = value * factor(norm);
    });
  }
  return out;
}

/** Scales every sample that is longer than eps to length eps. */
export function projectL2(d: Ref, eps: number): Ref {
  return scaleSamples(d, norm => Math.min(eps / norm, 1));
}

/** Random start in the Linf ball: eps·u for u uniform in [-1, 1], clipped to the box. */
export function linfStart(x: Ref, u: Ref, eps: number): Ref {
  return clipToBox(
    x,
    map(u, value => eps * value),
  );
}

/** d + alpha·sign(g), clamped to ±eps, then clipped to the box. */
export function linfStep(x: Ref, d: Ref, g: Ref, alpha: number, eps: number): Ref {
  const moved = zip(d, sign.forward(g), (value, direction) => value + alpha * direction);
  return clipToBox(x, clamp.forward(moved, -eps, eps));
}

/** FGSM: one Linf step of length eps from 0. Returns the perturbation. */
export function fgsm(x: Ref, g: Ref, eps: number): Ref {
  return linfStep(x, ref(x.shape), g, eps, eps);
}

/** Random start in the L2 ball: u - x for a point u uniform in the box, projected to the ball, then clipped. */
export function l2Start(x: Ref, u: Ref, eps: number): Ref {
  return clipToBox(
    x,
    projectL2(
      zip(u, x, (point, image) => point - image),
      eps,
    ),
  );
}

/** d + alpha·g/max(||g||, 1e-6), clipped to the box, then scaled by min(eps/||d||, 1). */
export function l2Step(x: Ref, d: Ref, g: Ref, alpha: number, eps: number): Ref {
  return projectL2(clipToBox(x, l2Moved(d, g, alpha)), eps);
}

/** The same with the projections in APGD's order: scaled by min(eps/||d||, 1), then clipped to the box. */
export function l2StepBallFirst(x: Ref, d: Ref, g: Ref, alpha: number, eps: number): Ref {
  return clipToBox(x, projectL2(l2Moved(d, g, alpha), eps));
}

function l2Moved(d: Ref, g: Ref, alpha: number): Ref {
  const direction = scaleSamples(g, norm => 1 / Math.max(norm, 1e-6));
  return zip(d, direction, (value, step) => value + alpha * step);
}
