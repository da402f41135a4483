/**
 * Training modes in float64: the attack of a mode and, at given attacked images, its losses [N] with the gradients of their mean by the parameters.
 * Networks are functions of a state, images and the mode (train or eval); gradients of losses are written out by hand.
 */
import { map, type Ref, ref, zip } from './array.ts';
import { linfStep } from './attack.ts';
import { crossEntropy, klDivergence, softmax } from './loss.ts';
import type { Pass, State } from './model.ts';

export type Network = (state: State, x: Ref, train: boolean) => Pass;

export interface Settings {
  smoothing: number;
  beta: number;
  awpGamma: number;
}

const column = (row: (n: number) => number, count: number) =>
  ref(
    [count],
    Array.from({ length: count }, (_, n) => row(n)),
  );
const rows = (z: Ref) => {
  const k = z.shape[1];
  return Array.from({ length: z.shape[0] }, (_, n) => Array.from(z.data.subarray(n * k, (n + 1) * k)));
};
const addStates = (a: State, b: State): State =>
  Object.fromEntries(Object.keys(a).map(name => [name, zip(a[name], b[name], (x, y) => x + y)]));

/** FGSM from d, 1.25 eps long, in eval mode; the gradient passes where x + d is in the box. Returns x + d'. */
export function fastAttack(network: Network, state: State, x: Ref, y: number[], d: Ref, eps: number): Ref {
  const sum = zip(x, d, (a, b) => a + b);
  const pass = network(
    state,
    map(sum, v => Math.min(1, Math.max(0, v))),
    false,
  );
  const g = pass.backward(crossEntropy.backward(pass.logits, y, { reduction: 'sum' }, ref([], 1))).x;
  const inside = zip(g, sum, (value, at) => (at >= 0 && at <= 1 ? value : 0));
  return zip(x, linfStep(x, d, inside, 1.25 * eps, eps), (a, b) => a + b);
}

/** Steps in eval mode from x + noise along the sign of the gradient of KL(f(x) ‖ f(x')) (`trades`) or of the cross-entropy (`mart`). */
export function ascent(
  network: Network,
  state: State,
  x: Ref,
  y: number[],
  noise: Ref,
  what: 'trades' | 'mart',
  { steps, alpha, eps }: { steps: number; alpha: number; eps: number },
): Ref {
  const natural = network(state, x, false).logits;
  let d = noise;
  for (let i = 0; i < steps; i++) {
    const pass = network(
      state,
      zip(x, d, (a, b) => a + b),
      false,
    );
    const byLogits =
      what === 'trades'
        ? klDivergence.backward(natural, pass.logits, 'sum', ref([], 1))[1]
        : crossEntropy.backward(pass.logits, y, { reduction: 'sum' }, ref([], 1));
    d = linfStep(x, d, pass.backward(byLogits).x, alpha, eps);
  }
  return zip(x, d, (a, b) => a + b);
}

export interface Outcome {
  losses: Ref;
  gradients: State;
}

/** Cross-entropy at the attacked images: pgd, sgd (where they are the clean ones), fast, one replay of free. */
export function plain(network: Network, state: State, adv: Ref, y: number[], { smoothing }: Settings): Outcome {
  const { logits, backward } = network(state, adv, true);
  const losses = crossEntropy.forward(logits, y, { reduction: 'none', labelSmoothing: smoothing });
  const gradients = backward(
    crossEntropy.backward(logits, y, { reduction: 'mean', labelSmoothing: smoothing }, ref([], 1)),
  ).parameters;
  return { losses, gradients };
}

/** CE(f(x)) + beta KL(f(x) ‖ f(x')). */
export function trades(network: Network, state: State, x: Ref, adv: Ref, y: number[], { smoothing, beta }: Settings): Outcome {
  const [clean, attacked] = [network(state, x, true), network(state, adv, true)];
  const n = x.shape[0];
  const one = (a: Ref, i: number) => ref([1, a.shape[1]], rows(a)[i]);
  const kl = column(i => klDivergence.forward(one(clean.logits, i), one(attacked.logits, i), 'sum').data[0], n);
  const ce = crossEntropy.forward(clean.logits, y, { reduction: 'none', labelSmoothing: smoothing });
  const [da, db] = klDivergence.backward(clean.logits, attacked.logits, 'batchmean', ref([], beta));
  const dce = crossEntropy.backward(clean.logits, y, { reduction: 'mean', labelSmoothing: smoothing }, ref([], 1));
  return {
    losses: zip(ce, kl, (a, b) => a + beta * b),
    gradients: addStates(clean.backward(zip(dce, da, (a, b) => a + b)).parameters, attacked.backward(db).parameters),
  };
}

/** CE(f(x')) - log(1.0001 - max_{j != y} p'_j) + beta KL(p ‖ p') (1.0000001 - p_y). */
export function mart(network: Network, state: State, x: Ref, adv: Ref, y: number[], { smoothing, beta }: Settings): Outcome {
  const [clean, attacked] = [network(state, x, true), network(state, adv, true)];
  const [p, q] = [rows(softmax.forward(clean.logits)), rows(softmax.forward(attacked.logits))];
  const n = y.length;
  const ce = crossEntropy.forward(attacked.logits, y, { reduction: 'none', labelSmoothing: smoothing });
  const dce = rows(crossEntropy.backward(attacked.logits, y, { reduction: 'sum', labelSmoothing: smoothing }, ref([], 1)));
  const losses: number[] = [];
  const dClean: number[] = [];
  const dAttacked: number[] = [];
  for (let i = 0; i < n; i++) {
    const wrong = q[i].reduce((best, v, k) => (k !== y[i] && (best < 0 || v > q[i][best]) ? k : best), -1);
    const kl = p[i].reduce((s, v, k) => s + v * Math.log(v / q[i][k]), 0);
    const weight = 1.0000001 - p[i][y[i]];
    losses.push(ce.data[i] - Math.log(1.0001 - q[i][wrong]) + beta * kl * weight);
    p[i].forEach((v, k) => {
      const byP = v * (Math.log(v / q[i][k]) - kl);
      const right = p[i][y[i]] * ((k === y[i] ? 1 : 0) - v);
      dClean.push((beta * (byP * weight - kl * right)) / n);
      const margin = (q[i][wrong] * ((k === wrong ? 1 : 0) - q[i][k])) / (1.0001 - q[i][wrong]);
      dAttacked.push((dce[i][k] + margin + beta * weight * (q[i][k] - v)) / n);
    });
  }
  return {
    losses: ref([n], losses),
    gradients: addStates(
      clean.backward(ref(clean.logits.shape, dClean)).parameters,
      attacked.backward(ref(attacked.logits.shape, dAttacked)).parameters,
    ),
  };
}

/** The cross-entropy with every weight w of two or more dimensions at w + gamma ‖w‖ g/‖g‖, g masked. */
export function awp(network: Network, state: State, adv: Ref, y: number[], masks: State, settings: Settings): Outcome {
  const length = (a: Ref) => Math.hypot(...a.data);
  const first = plain(network, state, adv, y, settings).gradients;
  const moved = Object.entries(first)
    .filter(([, g]) => g.shape.length > 1)
    .map(([name, dense]) => {
      const g = masks[name] ? zip(dense, masks[name], (v, m) => v * m) : dense;
      const scale = (settings.awpGamma * length(state[name])) / length(g);
      return [name, zip(state[name], g, (w, v) => w + scale * v)] as const;
    });
  return plain(network, { ...state, ...Object.fromEntries(moved) }, adv, y, settings);
}

/** The gradient of the mean smoothed cross-entropy by the logits. */
export function smoothedGradient(logits: Ref, y: number[], smoothing: number): Ref {
  return crossEntropy.backward(logits, y, { reduction: 'mean', labelSmoothing: smoothing }, ref([], 1));
}
