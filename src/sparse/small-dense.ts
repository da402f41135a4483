/**
 * Small-dense: the baseline of a dense network so thin that it has the weight count of a sparse one. Counts of maskable weights are quadratic in the
 * base width without a constant: weights between two layers of it grow with its square, those of the first and the last layer with itself.
 */
import { UsageError } from '../errors.ts';

/** How far, relatively, the weight count may be from the one asked for. */
const TOLERANCE = 0.1;

/**
 * The base width whose network has nearest to `scale` of the maskable weights of the one of `width`.
 * @param count maskable weights at a base width; asked for one and two units only
 * @param unit widths are multiples of it
 * @throws UsageError where the nearest is more than a tenth off, naming it
 */
export function thinWidth(count: (width: number) => number, width: number, scale: number, unit = 1): number {
  const [one, two] = [count(unit), count(2 * unit)];
  const square = (two - 2 * one) / 2;
  const linear = one - square;
  const weights = (w: number) => square * (w / unit) ** 2 + (linear * w) / unit;
  const wanted = scale * weights(width);
  const exact = (Math.sqrt(linear ** 2 + 4 * square * wanted) - linear) / (2 * square);
  const below = unit * Math.max(1, Math.floor(exact));
  const [a, b] = [below, Math.min(width, below + unit)];
  const found = Math.abs(weights(a) - wanted) <= Math.abs(weights(b) - wanted) ? a : b;
  if (Math.abs(weights(found) - wanted) > TOLERANCE * wanted) {
    const nearest = Number((weights(found) / weights(width)).toPrecision(4));
    throw new UsageError(
      `--scale ${scale}: no width has as many weights; the nearest is ${nearest}, at width ${found} instead of ${width}`,
    );
  }
  return found;
}
