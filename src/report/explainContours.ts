/** Contour lines of values on a grid: marching squares, with the crossings placed by linear interpolation. */
import { scaleLinear } from 'd3-scale';

/** A piece of a line between two points [column, row] in units of the grid. */
export type Segment = readonly [from: readonly [number, number], to: readonly [number, number]];

/** The line where values [G, G], row by row, pass `level`, in pieces of one grid cell each. */
export function contour(values: ArrayLike<number>, side: number, level: number): Segment[] {
  const at = (column: number, row: number) => values[row * side + column];
  const segments: Segment[] = [];
  for (let row = 0; row + 1 < side; row++)
    for (let column = 0; column + 1 < side; column++) {
      const corners = [
        [column, row],
        [column + 1, row],
        [column + 1, row + 1],
        [column, row + 1],
      ] as const;
      const heights = corners.map(([x, y]) => at(x, y));
      const crossings = corners.flatMap((corner, i) => {
        const next = (i + 1) % 4;
        if (heights[i] >= level === heights[next] >= level) return [];
        const share = (level - heights[i]) / (heights[next] - heights[i]);
        return [corner.map((from, axis) => from + share * (corners[next][axis] - from)) as [number, number]];
      });
      if (crossings.length === 2) segments.push([crossings[0], crossings[1]]);
      if (crossings.length === 4) segments.push(...saddle(crossings, heights, level));
    }
  return segments;
}

/** The two pieces in a cell whose opposite corners lie on one side of the level: the mean says which pair of corners is joined. */
function saddle(crossings: readonly (readonly [number, number])[], heights: readonly number[], level: number): Segment[] {
  const [top, right, bottom, left] = crossings;
  const middle = heights.reduce((sum, height) => sum + height, 0) / 4;
  const joined = middle >= level === heights[0] >= level;
  return joined
    ? [
        [top, right],
        [bottom, left],
      ]
    : [
        [left, top],
        [right, bottom],
      ];
}

/** Steps within a power of ten, from coarse to fine. */
const steps = [[1], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]];

/** At least five levels between `low` and `high`: round ones that widen with the value where it spans enough, else evenly spaced ones. */
export function contourLevels(low: number, high: number): number[] {
  const between = (levels: number[]) => levels.filter(level => level > low && level < high);
  const powers = Array.from({ length: 9 }, (_, i) => i - 4);
  const rising = steps.map(factors => between(powers.flatMap(power => factors.map(factor => Number(`${factor}e${power}`)))));
  return rising.find(levels => levels.length >= 5) ?? between(scaleLinear([low, high], [0, 1]).ticks(7));
}
