/**
 * How the derivatives of an operation are checked, on the device against float64.
 *
 * First: the gradients of <f(x), g> by every input against the reference's backward, all together and each alone (same bits).
 *
 * Second: the gradient of S = Σ_i <∂<f, g>/∂x_i, v_i> by every input x_j and by g, recorded with `createGraph`. A Hessian is symmetric, so
 * the gradient of S by x_j is the derivative of the reference's gradient by x_j when all inputs move along v, and the gradient of S by g is
 * the derivative of f along v: one central difference each gives whole arrays.
 */
import { expect } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import type { Device } from '../../src/device/index.ts';
import { type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { checkForward, checkGradient, checkSecondGradient, random, run } from '../engine.ts';
import { type Ref, ref, zip } from '../reference/array.ts';

/** An operation, and its float64 reference. Both see the differentiable inputs in one order. */
export interface Operation {
  name: string;
  device(...inputs: Tensor[]): Tensor;
  forward(...inputs: Ref[]): Ref;
  backward(gradOutput: Ref, ...inputs: Ref[]): Ref | readonly Ref[];
}

export interface Bounds {
  forward?: number;
  gradient?: number;
  /** Not given: the second derivative is not looked at (at kinks there is none). */
  second?: number | false;
}

/** All of one sign, so that the sums of a gradient do not cancel to something that is all rounding. */
export function oneSided(shape: readonly number[], seed: number, low = 0.25, high = 1): Ref {
  return seed % 2 === 0 ? random(shape, seed, low, high) : random(shape, seed, -high, -low);
}

/** Step of central differences: error of about h² = 1e-10 where f is smooth, and roundings of 1e-16/h. */
const H = 1e-5;

/** Checks one operation at float32 inputs: values, gradients, gradients of gradients. Every random number comes from `seed`. */
export async function checkOperation(
  device: Device,
  op: Operation,
  inputs: readonly Ref[],
  seed: number,
  bounds: Bounds = {},
): Promise<void> {
  const expected = op.forward(...inputs);
  const g = oneSided(expected.shape, seed);
  const v = inputs.map((x, i) => random(x.shape, seed + 1 + i));
  const count = inputs.length;
  const results = await run(device, [...inputs, g, ...v], (...tensors) => {
    const [xs, seedTensor, along] = [tensors.slice(0, count), tensors[count], tensors.slice(count + 1)];
    const fresh = () => xs.map(x => F.track(F.detach(x)));
    const tracked = fresh();
    const y = op.device(...tracked);
    const together = F.grad(y, tracked, { seed: seedTensor });
    const alone = xs.map((_, i) => {
      const own = F.track(F.detach(xs[i]));
      return F.grad(op.device(...xs.with(i, own)), [own], { seed: seedTensor })[0];
    });
    const second = bounds.second === false ? [] : gradientsOfGradient(op, fresh(), F.track(F.detach(seedTensor)), along);
    return [y, ...together, ...alone, ...second];
  });
  const take = (n: number) => results.splice(0, n);
  checkForward(op.name, take(1)[0], expected, bounds.forward);
  const [together, alone] = [take(count), take(count)];
  checkGradient(op.name, together, op.backward(g, ...inputs), bounds.gradient);
  for (const [i, one] of alone.entries()) expect(one, `${op.name}: gradient by input ${i} alone`).toEqual(together[i]);
  if (bounds.second === false) return;
  const differences = derivativeAlong(inputs, v, moved => [...[op.backward(g, ...moved)].flat(), op.forward(...moved)]);
  for (const [i, difference] of differences.entries()) expect(results[i].shape).toEqual(difference.shape);
  checkSecondGradient(op.name, joined(results), joined(differences), bounds.second);
}

/** Arrays one after another: the Hessian's product with v is one vector, of which a part may be next to nothing. */
function joined(parts: readonly Ref[]): Ref {
  const values = parts.flatMap(part => [...part.data]);
  return ref([values.length], values);
}

/** The gradients of S (see above) by xs and by g. */
function gradientsOfGradient(op: Operation, xs: Tensor[], g: Tensor, v: readonly Tensor[]): Tensor[] {
  const first = F.grad(op.device(...xs), xs, { seed: g, createGraph: true });
  const s = first.map((gradient, i) => F.sum(F.mul(gradient, v[i]))).reduce((a, b) => F.add(a, b));
  return [...xs, g].map(input => gradientOrZero(s, input));
}

/** Zero where y does not depend on x: the second derivative of what is linear. */
function gradientOrZero(y: Tensor, x: Tensor): Tensor {
  try {
    return F.grad(y, [x])[0];
  } catch (error) {
    if (!/does not depend/.test((error as Error).message)) throw error;
    return zeros(x.device, x.shape);
  }
}

/** d/dh of f(x + h·v) at 0. Rounding noise where a derivative is 0 becomes 0. */
export function derivativeAlong(xs: readonly Ref[], v: readonly Ref[], f: (moved: Ref[]) => Ref[], h = H): Ref[] {
  const moved = (step: number) => xs.map((x, i) => zip(x, v[i], (value, d) => value + step * d));
  const [plus, minus] = [f(moved(h)), f(moved(-h))];
  return plus.map((p, i) => {
    const difference = zip(p, minus[i], (a, b) => (a - b) / (2 * h));
    return ref(
      difference.shape,
      difference.data.map(d => (Math.abs(d) < 1e-9 ? 0 : d)),
    );
  });
}
