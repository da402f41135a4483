/** Finite differences and distances: how a gradient is checked. */
import { type Ref, zip } from './array.ts';

/** Central difference of f at x along `direction`: (f(x + h·d) - f(x - h·d)) / 2h. Its error is O(h²) where f is smooth. */
export function finiteDifference(f: (x: Ref) => number, x: Ref, direction: Ref, h = 1e-6): number {
  const moved = (step: number) => zip(x, direction, (value, d) => value + step * d);
  return (f(moved(h)) - f(moved(-h))) / (2 * h);
}

/** Euclidean norm over all values. */
export function norm(a: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * a[i];
  return Math.sqrt(sum);
}

/** ||actual - expected|| / ||expected|| (L2 over all values); the plain distance where `expected` is 0. NaN anywhere gives NaN. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new RangeError(`${actual.length} values against ${expected.length}`);
  const difference = Float64Array.from(actual, (value, i) => value - expected[i]);
  return norm(difference) / (norm(expected) || 1);
}
