/**
 * How a global density is spread over layers. A layer keeps n - int((1 - density)·n) of its n weights.
 *
 * - uniform: the same everywhere.
 * - erk: density_l ∝ Σ dims / Π dims (Evci et al. 2020); er: ∝ (out + in) / (out·in) (Mocanu et al. 2018). A layer that would pass 1 becomes
 *   dense, and the factor is solved again for the rest.
 * - igq: density_l = 1/(F·n_l + 1), the equilibrium of Zhang et al. 2022 ("Sparsity Winning Twice", after Patil and Dovrolis), F by bisection.
 */
import { UsageError } from '../errors.ts';

export interface MaskedLayer {
  name: string;
  /** [OUT, IN, KH, KW] or [OUT, IN]. */
  shape: readonly number[];
  size: number;
}

/** The rules that share a density out among layers. */
export const initialisers = ['igq', 'uniform', 'erk', 'er'] as const;
export type Initialiser = (typeof initialisers)[number];

/** Density of each layer for a global `density` in (0, 1]. @throws UsageError for one that cannot be reached */
export function layerDensities(layers: readonly MaskedLayer[], density: number, how: Initialiser): number[] {
  if (!(density > 0 && density <= 1)) throw new UsageError(`density ${density}: above 0 and at most 1 is wanted`);
  if (how === 'uniform' || density === 1) return layers.map(() => density);
  if (how === 'igq') return igq(layers, density);
  const ratio = (shape: readonly number[]) =>
    how === 'erk' ? shape.reduce((a, b) => a + b) / shape.reduce((a, b) => a * b) : (shape[0] + shape[1]) / (shape[0] * shape[1]);
  return proportional(
    layers.map(l => l.size),
    layers.map(l => ratio(l.shape)),
    density,
  );
}

/** Densities factor·ratio_l with the factor such that Σ density_l·n_l = density·Σ n_l, none above 1. */
function proportional(sizes: readonly number[], ratios: readonly number[], density: number): number[] {
  const dense = new Set<number>();
  const total = sizes.reduce((a, b) => a + b, 0);
  for (;;) {
    let wanted = density * total;
    let weight = 0;
    sizes.forEach((n, i) => {
      if (dense.has(i)) wanted -= n;
      else weight += ratios[i] * n;
    });
    const factor = wanted / weight;
    const over = ratios.flatMap((r, i) => (!dense.has(i) && factor * r > 1 ? [i] : []));
    if (over.length === 0) return ratios.map((r, i) => (dense.has(i) ? 1 : factor * r));
    // the one that passes 1 by most first: the others may fit once it is dense
    const most = Math.max(...over.map(i => ratios[i]));
    for (const i of over) if (ratios[i] === most) dense.add(i);
  }
}

function igq(layers: readonly MaskedLayer[], density: number): number[] {
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
}

/** Weights that a layer of n keeps at a density: exactly int((1 - density)·n) are zero. */
export function keptCount(n: number, density: number): number {
  return n - Math.trunc((1 - density) * n);
}

/** The smallest number of four significant digits, from `bound` > 0 on, that suffices. */
export function nearestDensity(bound: number, suffices: (density: number) => boolean): number {
  const unit = 10 ** (Math.floor(Math.log10(bound)) - 3);
  let digits = Math.floor(bound / unit);
  const density = () => Number((digits * unit).toPrecision(4));
  while (!suffices(density())) digits++;
  return density();
}

/**
 * Checks that a density leaves at least `least` weights.
 * @throws UsageError naming the nearest density that the masks reach
 */
export function assertReachable(layers: readonly MaskedLayer[], density: number, least: number): void {
  const total = layers.reduce((n, l) => n + l.size, 0);
  if (density * total >= least) return;
  const nearest = nearestDensity(least / total, p => p * total >= least);
  throw new UsageError(
    `--density ${density} would keep ${(density * total).toPrecision(2)} of ${total} weights: the nearest that this initial mask reaches is ${nearest}`,
  );
}
