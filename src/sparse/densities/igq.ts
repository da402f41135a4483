/**
 * Ideal gas quotas (Vysogorets and Kempe 2021, "Connectivity Matters: Neural Network Pruning Through the Lens of Effective Sparsity"), which "Sparsity
 * Winning Twice" begins with: layers share a density as coupled cylinders share a pressure,
 *
 *   density_l = 1/(F·n_l + 1),
 *
 * F by bisection until the total is within one weight.
 */
import type { DensityRule } from './rule.ts';

export const igq: DensityRule = (layers, density) => {
  const sizes = layers.map(l => l.size);
  const wanted = density * sizes.reduce((a, b) => a + b, 0);
  const kept = (f: number) => sizes.reduce((sum, n) => sum + n / (f * n + 1), 0);
  let low = 0;
  let high = 1e20;
  let middle = high / 2;
  for (let i = 0; i < 1000 && Math.abs(kept(middle) - wanted) >= 1; i++) {
    if (kept(middle) > wanted) low = middle;
    else high = middle;
    middle = (low + high) / 2;
  }
  return sizes.map(n => 1 / (middle * n + 1));
};
