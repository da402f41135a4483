/** The registry of rules that spread a global density over layers, and the counts that follow. A layer keeps n - int((1 - density)·n) of its n weights. */
import { UsageError } from '../../errors.ts';
import { er } from './er.ts';
import { erk } from './erk.ts';
import { igq } from './igq.ts';
import type { DensityRule, MaskedLayer } from './rule.ts';
import { uniform } from './uniform.ts';

export type { MaskedLayer } from './rule.ts';

const rules = { igq, uniform, erk, er } as const satisfies Record<string, DensityRule>;
export type Initialiser = keyof typeof rules;
/** The rules that share a density out among layers. */
export const initialisers = Object.keys(rules) as Initialiser[];

/** Density of each layer for a global `density` in (0, 1]. @throws UsageError for one that cannot be reached */
export function layerDensities(layers: readonly MaskedLayer[], density: number, how: Initialiser): number[] {
  if (!(density > 0 && density <= 1)) throw new UsageError(`density ${density}: above 0 and at most 1 is wanted`);
  return density === 1 ? layers.map(() => 1) : rules[how](layers, density);
}

/** Weights that a layer of n keeps at a density: exactly int((1 - density)·n) are zero. */
export function keptCount(n: number, density: number): number {
  return n - Math.trunc((1 - density) * n);
}

/** The smallest number of four significant digits, from `bound` on, that suffices; not below a billionth. */
export function nearestDensity(bound: number, suffices: (density: number) => boolean): number {
  const from = Math.max(bound, 1e-9);
  const unit = 10 ** (Math.floor(Math.log10(from)) - 3);
  let digits = Math.floor(from / unit);
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
