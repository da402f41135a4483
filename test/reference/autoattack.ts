/**
 * The parameter-free attacks, from their papers: APGD for one sample (Croce and Hein, "Reliable evaluation of adversarial robustness",
 * ICML 2020), and the projections of FAB by sorting (Croce and Hein, "Minimally distorted adversarial examples", ICML 2020, section 3.1).
 */

import { norm as length } from './finite.ts';

/** Loss and its gradient at an image. */
export type Objective = (image: Float64Array) => { loss: number; gradient: Float64Array };

/** The steps after which APGD may halve its step size: windows of whole steps, worked out as they go. */
export function apgdCheckpoints(steps: number): number[] {
  const at: number[] = [];
  const shortest = Math.max(1, Math.floor(0.06 * steps));
  const shrink = Math.max(1, Math.floor(0.03 * steps));
  let length = Math.max(1, Math.floor(0.22 * steps));
  let last = 0;
  for (let step = 1; step <= steps; step++) {
    if (step - last < length) continue;
    at.push(step);
    last = step;
    length = length - shrink < shortest ? shortest : length - shrink;
  }
  return at;
}

/** d brought into the ball of radius eps: cut to [-eps, eps], or scaled to length eps where it is longer. */
function intoBall(norm: 'linf' | 'l2', d: Float64Array, eps: number): Float64Array {
  if (norm === 'linf') return d.map(v => Math.min(eps, Math.max(-eps, v)));
  const size = length(d);
  return size > eps ? d.map(v => (v * eps) / size) : d;
}

/** d brought into the ball, and then x + d into [0, 1]. */
function intoBallAndBox(norm: 'linf' | 'l2', x: Float64Array, d: Float64Array, eps: number): Float64Array {
  return intoBall(norm, d, eps).map((v, i) => Math.min(1, Math.max(0, x[i] + v)) - x[i]);
}

/**
 * APGD for one sample, from the perturbation `start`. The direction of a step is the sign of the gradient, or in L2 the gradient at length 1.
 * @returns the highest loss found, the step size at the end, and the number of halvings
 */
export function apgd(
  norm: 'linf' | 'l2',
  x: Float64Array,
  start: Float64Array,
  objective: Objective,
  eps: number,
  steps: number,
) {
  const at = (d: Float64Array) => objective(x.map((v, i) => v + d[i]));
  let d = start;
  let before = start;
  let { gradient, loss } = at(d);
  let best = { d, gradient, loss };
  let stepSize = 2 * eps;
  let halvings = 0;
  const trace = [loss];
  let window = { start: 0, loss, halved: true };
  for (let step = 1; step <= steps; step++) {
    const direction = norm === 'linf' ? gradient.map(Math.sign) : gradient.map(g => g / length(gradient));
    const ahead = d.map((v, i) => v + stepSize * direction[i]);
    const z = intoBallAndBox(norm, x, ahead, eps);
    const a = step === 1 ? 1 : 0.75;
    const moved = d.map((v, i) => v + a * (z[i] - v) + (1 - a) * (v - before[i]));
    before = d;
    d = intoBallAndBox(norm, x, moved, eps);
    ({ gradient, loss } = at(d));
    trace.push(loss);
    if (loss > best.loss) best = { d, gradient, loss };
    if (!apgdCheckpoints(steps).includes(step)) continue;
    let rises = 0;
    for (let s = window.start + 1; s <= step; s++) if (trace[s] > trace[s - 1]) rises++;
    const tooFew = rises <= 0.75 * (step - window.start);
    const halve = tooFew || (!window.halved && best.loss <= window.loss);
    if (halve) {
      stepSize /= 2;
      halvings++;
      ({ d, gradient } = best);
    }
    window = { start: step, loss: best.loss, halved: halve };
  }
  return { loss: best.loss, stepSize, halvings, trace };
}

/**
 * The smallest step δ with c + Σ w δ = 0 and x + δ in [0, 1]. The length taken in every coordinate is min(reach, room) with one number
 * `reach` for all (Linf) or reach·|w| (L2): sorting the coordinates by when they run out of room gives the segment in which the sum
 * reaches |c|. Where the box does not reach the hyperplane: its nearest corner.
 */
export function hyperplaneStep(norm: 'linf' | 'l2', x: Float64Array, w: Float64Array, c: number): Float64Array {
  const toward = w.map(v => -Math.sign(c >= 0 ? v : -v));
  const room = x.map((v, i) => (toward[i] < 0 ? v : 1 - v));
  const slope = w.map(v => Math.abs(v));
  const speed = norm === 'linf' ? slope.map(() => 1) : slope;
  const order = [...x.keys()].filter(i => slope[i] > 0).sort((a, b) => room[a] / speed[a] - room[b] / speed[b]);
  let spent = 0;
  let rate = order.reduce((sum, i) => sum + slope[i] * speed[i], 0);
  let reach = 0;
  for (const i of order) {
    const end = room[i] / speed[i];
    reach = (Math.abs(c) - spent) / rate;
    if (reach <= end) break;
    spent += slope[i] * room[i];
    rate -= slope[i] * speed[i];
    reach = end;
  }
  return x.map((_, i) => toward[i] * Math.min(reach * speed[i], room[i]));
}

/**
 * The highest z_j - z_y that a perturbation in the Linf ball and in the box gives a linear classifier z = W x + b, over all j: above 0
 * exactly where the sample can be fooled. Each pixel goes to the end of its interval.
 */
export function worstLinearMargin(
  x: Float64Array,
  label: number,
  weight: Float64Array[],
  bias: Float64Array,
  eps: number,
): number {
  const margins = weight.map((row, j) => {
    let margin = bias[j] - bias[label];
    x.forEach((v, i) => {
      const slope = row[i] - weight[label][i];
      margin += slope * (slope > 0 ? Math.min(1, v + eps) : Math.max(0, v - eps));
    });
    return margin;
  });
  return Math.max(...margins.filter((_, j) => j !== label));
}
