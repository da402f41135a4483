/** Histograms of weights: which of a layer's weights are active, how wide they spread, and how many fall into each bin. */
import type { LayerMask, LayerWeights } from './tensors.ts';

/** A histogram's bins, from -reach to reach. Odd, so that one bin has zero in its middle. */
export const bins = 41;

/** Groups of values that are counted together, as one layer's active weights are or those of all layers. */
export type Values = readonly Float32Array[];

/** The weights of a layer that its mask keeps; all of them without a mask. */
export function activeWeights({ values }: LayerWeights, mask?: LayerMask): Float32Array {
  const all = values instanceof Float32Array ? values : Float32Array.from(values);
  return mask ? all.filter((_, i) => mask.keep[i] !== 0) : all;
}

/** How far from zero a histogram goes: four root mean squares, which of a normal distribution leaves out 1 in 16 000. */
export function reachOf(values: Values): number {
  let squares = 0;
  let count = 0;
  for (const part of values)
    for (const value of part)
      if (Number.isFinite(value)) {
        squares += value * value;
        count++;
      }
  const reach = 4 * Math.sqrt(squares / count);
  return reach > 0 && Number.isFinite(reach) ? reach : 1;
}

/** The share of the values in each bin; what lies beyond the reach counts in the outermost bins. All zero without a value. */
export function histogram(values: Values, reach: number): number[] {
  const counts = new Array<number>(bins).fill(0);
  let total = 0;
  for (const part of values)
    for (const value of part)
      if (Number.isFinite(value)) {
        const bin = Math.floor(((value + reach) / (2 * reach)) * bins);
        counts[Math.min(bins - 1, Math.max(0, bin))]++;
        total++;
      }
  return counts.map(count => (total > 0 ? count / total : 0));
}
