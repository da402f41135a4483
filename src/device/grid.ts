/** Grids for one-dimensional work. */
import type { Grid } from './program.ts';

const MAX_PER_DIMENSION = 65535;

/**
 * Workgroups for `items` invocations, split over x and y where x alone would pass 65 535. Kernels rebuild the linear index with
 * `linear_index` of the prelude (x + y · width of a row of the grid) and check it against the count.
 */
export function gridFor(items: number, workgroupSize: number): Grid {
  const groups = Math.ceil(items / workgroupSize);
  if (groups <= MAX_PER_DIMENSION) return [groups, 1, 1];
  const rows = Math.ceil(groups / MAX_PER_DIMENSION);
  return [Math.ceil(groups / rows), rows, 1];
}
