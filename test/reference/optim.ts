/** Stochastic gradient descent as PyTorch's torch.optim.SGD (dampening 0), and learning rate schedules. */
import { type Ref, ref, zip } from './array.ts';

export interface SgdOptions {
  lr: number;
  momentum?: number;
  weightDecay?: number;
  nesterov?: boolean;
}

/**
 * One step: g += wd·w; v = mu·v + g; w -= lr·v, or with nesterov w -= lr·(g + mu·v). The first velocity is 0, which is PyTorch's rule
 * that the first buffer is the gradient. With a mask, the velocity and the weight are 0 where the mask is 0.
 */
export function sgdStep(
  weight: Ref,
  gradient: Ref,
  velocity: Ref,
  options: SgdOptions,
  mask: Ref = ref(weight.shape, 1),
): { weight: Ref; velocity: Ref } {
  const { lr, momentum = 0, weightDecay = 0, nesterov = false } = options;
  const masked = (value: Ref) => zip(value, mask, (v, m) => (m !== 0 ? v : 0));
  const decayed = zip(gradient, weight, (g, w) => g + weightDecay * w);
  const nextVelocity = masked(zip(velocity, decayed, (v, g) => momentum * v + g));
  const direction = nesterov ? zip(decayed, nextVelocity, (g, v) => g + momentum * v) : nextVelocity;
  return { weight: masked(zip(weight, direction, (w, d) => w - lr * d)), velocity: nextVelocity };
}

/** base·factor^(number of milestones reached): the rate during the given epoch, both counted from 0. */
export function multiStep(base: number, milestones: readonly number[], epoch: number, factor = 0.1): number {
  return base * factor ** milestones.filter(milestone => epoch >= milestone).length;
}

/** end + (base - end)·(1 + cos(pi·t/T))/2 at time t of T. */
export function cosine(base: number, t: number, total: number, end = 0): number {
  return end + ((base - end) * (1 + Math.cos((Math.PI * t) / total))) / 2;
}

/**
 * The one-cycle rate of fast training: linear from 0 to `peak` over the first 2/5 of the epochs, then linear to 0. The time is
 * epoch + (i + 1)/iterations for iteration i of an epoch.
 */
export function cyclic(peak: number, epochs: number, time: number): number {
  const top = (2 * epochs) / 5;
  return time <= top ? (peak * time) / top : (peak * (epochs - time)) / (epochs - top);
}
