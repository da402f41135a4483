/** Reductions over any axes. */
import { reduce as launch, type Reduction } from '../kernels/reduce.ts';
import { wantFloat } from './checks.ts';
import { empty, sizeOf, type Tensor } from './tensor.ts';

export interface ReduceOptions {
  /** Reduced axes, negative ones from the end; all by default. */
  axes?: readonly number[];
  /** Keeps reduced axes with size 1. */
  keepDims?: boolean;
}

/** Axes as sorted non-negative numbers. @throws Error for one that the tensor does not have, or twice */
export function normaliseAxes(axes: readonly number[] | undefined, rank: number): number[] {
  const given = (axes ?? Array.from({ length: rank }, (_, d) => d)).map(a => (a < 0 ? a + rank : a));
  const bad = given.find((a, i) => !Number.isInteger(a) || a < 0 || a >= rank || given.indexOf(a) !== i);
  if (bad !== undefined)
    throw new Error(`axes [${axes}] of a tensor with ${rank} dimensions: ${bad} is out of range or given twice`);
  return given.sort((a, b) => a - b);
}

export function reduce(kind: Reduction, x: Tensor, options: ReduceOptions = {}, scale = 1): Tensor {
  wantFloat(kind, x);
  const axes = normaliseAxes(options.axes, x.rank);
  const shape = x.shape.flatMap((s, d) => (axes.includes(d) ? (options.keepDims ? [1] : []) : [s]));
  const y = empty(x.device, shape, kind.startsWith('arg') ? 'i32' : 'f32');
  if (x.size === 0 && kind !== 'sum') throw new Error(`${kind} of an empty tensor`);
  launch(x.device, kind, x.storage, y.storage, x.shape, axes, scale);
  return y;
}

export const sum = (x: Tensor, options?: ReduceOptions): Tensor => reduce('sum', x, options);
export const max = (x: Tensor, options?: ReduceOptions): Tensor => reduce('max', x, options);
export const min = (x: Tensor, options?: ReduceOptions): Tensor => reduce('min', x, options);

/** Index of the largest element over the reduced axes (row-major among them; ties: the lowest), int32. */
export const argmax = (x: Tensor, options?: ReduceOptions): Tensor => reduce('argmax', x, options);

export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  wantFloat('mean', x);
  const count = sizeOf(normaliseAxes(options.axes, x.rank).map(d => x.shape[d]));
  return reduce('sum', x, options, 1 / count);
}
