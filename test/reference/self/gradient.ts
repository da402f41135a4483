/** How a reference's backward is checked: against finite differences of its own forward. */
import { expect } from 'vitest';
import { dot, type Ref, zip } from '../array.ts';
import { finiteDifference, norm } from '../finite.ts';
import { uniform } from '../random.ts';

/**
 * Asserts, for every input and random g and v, that <backward(g), v> equals the derivative of <forward, g> along v. The error is measured
 * against ||backward(g)||·||v||, the largest that the product could be.
 */
export function expectGradient(
  inputs: readonly Ref[],
  forward: (...inputs: Ref[]) => Ref,
  backward: (gradOutput: Ref, ...inputs: Ref[]) => readonly Ref[],
  seed: number,
  tolerance = 1e-6,
): void {
  const gradOutput = uniform(forward(...inputs).shape, seed);
  const gradients = backward(gradOutput, ...inputs);
  inputs.forEach((input, which) => {
    expect(gradients[which].shape).toEqual(input.shape);
    const direction = uniform(input.shape, seed + 1 + which);
    const f = (moved: Ref) => dot(forward(...inputs.map((other, i) => (i === which ? moved : other))), gradOutput);
    const numeric = finiteDifference(f, input, direction);
    const analytic = dot(gradients[which], direction);
    const scale = norm(gradients[which].data) * norm(direction.data) + 1e-3;
    expect(
      Math.abs(numeric - analytic) / scale,
      `gradient of input ${which}: ${analytic}, by differences ${numeric}`,
    ).toBeLessThan(tolerance);
  });
}

/** Asserts that two arrays have one shape and agree to a relative L2 error. */
export function expectClose(actual: Ref, expected: Ref, tolerance = 1e-12): void {
  expect(actual.shape).toEqual(expected.shape);
  const difference = norm(zip(actual, expected, (a, b) => a - b).data);
  expect(difference, 'L2 distance').toBeLessThanOrEqual(tolerance * (norm(expected.data) + 1e-6));
}
