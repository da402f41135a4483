/**
 * Auto-PGD (Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", ICML 2020,
 * section 3): PGD with momentum whose step size halves, sample by sample, when the loss stops rising. Everything is decided on the device.
 */
import * as F from '../autograd/index.ts';
import { add, elementwise, mul, sub } from '../tensor/elementwise.ts';
import type { Random } from '../tensor/philox.ts';
import { randomNormal, randomUniform } from '../tensor/random.ts';
import { full, ones, scope, type Tensor, zeros } from '../tensor/tensor.ts';
import { advance, choose, misclassified, normalised, type Outcome, type Pace, project, scaleSamples } from './batch.ts';
import type { SampleLoss } from './losses.ts';
import type { AttackSettings, Forward, Perturbed } from './pgd.ts';

export interface ApgdSettings extends Pick<AttackSettings, 'norm' | 'eps' | 'steps'> {
  /** Forward passes whose gradients and losses are averaged: expectation over transformation, for models that are random. */
  readonly eot?: number;
}

/** Share of the previous direction is one minus this (alpha of the paper, equation 1). */
const MOMENTUM = 0.75;
/** A window whose loss rose in no more than this share of its steps halves the step size (rho of the paper). */
const RISING = 0.75;

/**
 * The steps after which the step size may halve: windows of .22 N steps, each .03 N shorter than the one before, down to .06 N. For
 * N = 100: 22, 41, 57, 70, 80, 87, 93, 99.
 */
export function checkpoints(steps: number): number[] {
  const share = (part: number) => Math.max(Math.trunc(part * steps), 1);
  const at: number[] = [];
  let window = share(0.22);
  for (let step = window; step <= steps; step += window) {
    at.push(step);
    window = Math.max(window - share(0.03), share(0.06));
  }
  return at;
}

/** What a model and a loss say of images: logits [N, K], losses [N], their gradient by the pixels. */
interface Observation {
  logits: Tensor;
  losses: Tensor;
  gradient: Tensor;
}

/** Per sample [N] or per pixel [N, C, H, W]; `d` are perturbations, `adv` images. */
interface State {
  d: Tensor;
  /** The perturbation one step before. */
  previous: Tensor;
  gradient: Tensor;
  losses: Tensor;
  /** Where the loss was highest so far. */
  best: Tensor;
  bestAdv: Tensor;
  bestGradient: Tensor;
  bestLosses: Tensor;
  /** The last image that was misclassified, where there was one. */
  fooled: Tensor;
  fooledAdv: Tensor;
  stepSizes: Tensor;
  /** Of the window: steps whose loss rose; the best loss at its beginning; whether the step size halved there. */
  rises: Tensor;
  windowLosses: Tensor;
  halved: Tensor;
}

/** P: into the ball, then into the box. In L2 this order, AutoAttack's, is not that of PGD. */
const projected = (x: Tensor, d: Tensor, { norm, eps }: ApgdSettings) => project(x, d, { norm, eps, ballFirst: true });

/** Linf: uniform noise scaled to norm eps. L2: Gaussian noise scaled to norm eps. Both then clipped to the box. */
function start(x: Tensor, settings: ApgdSettings, random: Random): Perturbed {
  const { device, shape } = x;
  const { norm, eps } = settings;
  const noise = norm === 'linf' ? randomUniform(device, shape, random, -1, 1) : randomNormal(device, shape, random);
  return projected(x, mul(normalised(noise, norm), eps), settings);
}

function observe(forward: Forward, adv: Tensor, labels: Tensor, loss: SampleLoss, eot: number): Observation {
  const pass = () =>
    scope(adv.device, (): Observation => {
      const input = F.track(F.detach(adv));
      const [logits, losses] = F.enableGrad(() => {
        const z = forward(input);
        return [z, loss(z, labels)];
      });
      const [gradient] = F.enableGrad(() => F.grad(F.sum(losses), [input]));
      return { logits: F.detach(logits), losses: F.detach(losses), gradient };
    });
  let seen = pass();
  for (let i = 1; i < eot; i++) {
    const next = pass();
    seen = { logits: next.logits, losses: add(seen.losses, next.losses), gradient: add(seen.gradient, next.gradient) };
  }
  return eot === 1 ? seen : { ...seen, losses: mul(seen.losses, 1 / eot), gradient: mul(seen.gradient, 1 / eot) };
}

/** z = P(d + eta·direction); d' = P(d + a(z - d) + (1 - a)(d - previous)). */
function move(x: Tensor, { d, previous, gradient, stepSizes }: State, ball: ApgdSettings, first: boolean): Perturbed {
  const direction = ball.norm === 'linf' ? elementwise('sign', [gradient]) : normalised(gradient, 'l2');
  const z = projected(x, add(d, scaleSamples(direction, stepSizes)), ball);
  if (first) return z;
  const change = elementwise('blend', [sub(z.d, d), sub(d, previous)], [MOMENTUM, 1 - MOMENTUM]);
  return projected(x, add(d, change), ball);
}

/** The state after an observation of the images `at`. */
function record(state: State, at: Perturbed, seen: Observation, labels: Tensor): State {
  const rose = elementwise('greater', [seen.losses, state.losses]);
  const better = elementwise('greater', [seen.losses, state.bestLosses]);
  const wrong = misclassified(seen.logits, labels);
  return {
    ...state,
    d: at.d,
    previous: state.d,
    gradient: seen.gradient,
    losses: seen.losses,
    best: choose(better, at.d, state.best),
    bestAdv: choose(better, at.adv, state.bestAdv),
    bestGradient: choose(better, seen.gradient, state.bestGradient),
    bestLosses: elementwise('max', [seen.losses, state.bestLosses]),
    fooled: elementwise('max', [wrong, state.fooled]),
    fooledAdv: choose(wrong, at.adv, state.fooledAdv),
    rises: add(state.rises, rose),
  };
}

/**
 * The end of a window: where the loss rose too seldom, or the step size was not halved at the last checkpoint and the best loss has not
 * improved since, the step size halves and the search goes back to the best point.
 */
function check(state: State, window: number): State {
  const { device, shape } = state.rises;
  const oscillating = elementwise('lessEqual', [state.rises, full(device, [1], RISING * window)]);
  const stalled = elementwise('greaterEqual', [state.windowLosses, state.bestLosses]);
  const stuck = mul(stalled, elementwise('isZero', [state.halved]));
  const halved = elementwise('max', [oscillating, stuck]);
  return {
    ...state,
    stepSizes: elementwise('where', [halved, mul(state.stepSizes, 0.5), state.stepSizes]),
    d: choose(halved, state.best, state.d),
    gradient: choose(halved, state.bestGradient, state.gradient),
    halved,
    windowLosses: F.detach(state.bestLosses),
    rises: zeros(device, shape),
  };
}

/**
 * One run of APGD from a random start.
 * @param forward the model in eval mode; its parameters' gradients are not computed
 * @param loss what is ascended, sample by sample
 * @returns for samples that were never misclassified, the image of the highest loss
 */
export async function apgd(
  forward: Forward,
  x: Tensor,
  labels: Tensor,
  settings: ApgdSettings,
  loss: SampleLoss,
  random: Random,
  pace?: Pace,
): Promise<Outcome> {
  const { device } = x;
  const { eps, steps, eot = 1 } = settings;
  let state = scope(device, (): State => {
    const { d, adv } = start(x, settings, random);
    const { logits, losses, gradient } = observe(forward, adv, labels, loss, eot);
    const [n] = x.shape;
    return {
      ...{ d, previous: d, gradient, losses, best: d, bestAdv: adv, bestGradient: gradient, bestLosses: losses },
      ...{ fooled: misclassified(logits, labels), fooledAdv: adv, stepSizes: full(device, [n], 2 * eps) },
      ...{ rises: zeros(device, [n]), windowLosses: losses, halved: ones(device, [n]) },
    };
  });
  const ends = checkpoints(steps);
  for (let step = 1, lastEnd = 0; step <= steps; step++) {
    state = advance(device, state, before => {
      const at = move(x, before, settings, step === 1);
      const after = record(before, at, observe(forward, at.adv, labels, loss, eot), labels);
      return ends.includes(step) ? check(after, step - lastEnd) : after;
    });
    if (ends.includes(step)) lastEnd = step;
    await pace?.(step, steps);
  }
  return advance(
    device,
    state,
    ({ fooled, fooledAdv, bestAdv }): Outcome => ({ adv: choose(fooled, fooledAdv, bestAdv), fooled }),
  );
}
