/**
 * The array type of the float64 references: a shape and its values in row-major order. Nothing here is fast; everything is plain.
 */

/** A dense float64 array. `data.length` is the product of `shape`; a scalar has shape `[]` and one value. */
export interface Ref {
  shape: number[];
  data: Float64Array;
}

/** Number of values of a shape (1 for a scalar). */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** An array of the given shape, filled with one number or holding a copy of the given values. */
export function ref(shape: readonly number[], values: number | ArrayLike<number> = 0): Ref {
  const size = sizeOf(shape);
  if (typeof values === 'number') return { shape: [...shape], data: new Float64Array(size).fill(values) };
  if (values.length !== size) throw new RangeError(`shape [${shape}] holds ${size} values, not ${values.length}`);
  return { shape: [...shape], data: Float64Array.from(values) };
}

/** A scalar: shape `[]`. */
export function scalar(value: number): Ref {
  return ref([], [value]);
}

/** Position in `data` of a multi-dimensional index. */
export function indexOf(shape: readonly number[], index: readonly number[]): number {
  let position = 0;
  for (let axis = 0; axis < shape.length; axis++) position = position * shape[axis] + index[axis];
  return position;
}

/** Every multi-dimensional index of a shape, in row-major order. */
export function* indices(shape: readonly number[]): Generator<number[]> {
  const size = sizeOf(shape);
  for (let position = 0; position < size; position++) {
    const index = new Array<number>(shape.length);
    let rest = position;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = rest % shape[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    yield index;
  }
}

/** The value at a multi-dimensional index. */
export function at(a: Ref, ...index: number[]): number {
  return a.data[indexOf(a.shape, index)];
}

/** f of every value. */
export function map(a: Ref, f: (value: number) => number): Ref {
  return { shape: [...a.shape], data: a.data.map(value => f(value)) };
}

/** f of every pair of values of two arrays of one shape (no broadcasting: see elementwise.ts). */
export function zip(a: Ref, b: Ref, f: (left: number, right: number) => number): Ref {
  if (a.shape.join() !== b.shape.join()) throw new RangeError(`shapes [${a.shape}] and [${b.shape}] differ`);
  return { shape: [...a.shape], data: a.data.map((left, i) => f(left, b.data[i])) };
}

/** Sum over all of a[i]·b[i]. */
export function dot(a: Ref, b: Ref): number {
  return zip(a, b, (left, right) => left * right).data.reduce((sum, value) => sum + value, 0);
}

/** Axes as non-negative numbers in ascending order; `undefined` means all of them. */
export function normaliseAxes(rank: number, axes?: readonly number[]): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, axis) => axis);
  return axes.map(axis => (axis < 0 ? axis + rank : axis)).sort((left, right) => left - right);
}
