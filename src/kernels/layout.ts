/** Dimensions and strides for kernels that walk arrays of any shape. */

export interface Layout {
  dims: number[];
  strides: number[][];
}

/** Most dimensions that a kernel walks after merging. */
export const MAX_DIMS = 8;

/** Row-major strides of a contiguous array. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  for (let d = shape.length - 1, s = 1; d >= 0; s *= shape[d--]) strides[d] = s;
  return strides;
}

/** Strides of `shape` seen as the (larger) `target`: 0 in every broadcast dimension. Shapes align at their last dimension. */
export function broadcastStrides(shape: readonly number[], target: readonly number[]): number[] {
  const own = contiguousStrides(shape);
  const lead = target.length - shape.length;
  return target.map((_, d) => (d < lead || shape[d - lead] === 1 ? 0 : own[d - lead]));
}

/**
 * Joins neighbouring dimensions that every operand walks as one, and drops those of size 1: the fewer dimensions, the fewer divisions.
 * @throws Error where more than 8 remain
 */
export function mergeDims(shape: readonly number[], strides: readonly (readonly number[])[]): Layout {
  const dims: number[] = [];
  const merged: number[][] = strides.map(() => []);
  for (let d = 0; d < shape.length; d++) {
    if (shape[d] === 1) continue;
    const last = dims.length - 1;
    const joins = last >= 0 && strides.every((s, k) => merged[k][last] === s[d] * shape[d]);
    if (joins) {
      dims[last] *= shape[d];
      strides.forEach((s, k) => {
        merged[k][last] = s[d];
      });
    } else {
      dims.push(shape[d]);
      strides.forEach((s, k) => void merged[k].push(s[d]));
    }
  }
  if (dims.length > MAX_DIMS) throw new Error(`shape [${shape}] has more than ${MAX_DIMS} dimensions that cannot be merged`);
  return { dims, strides: merged };
}
