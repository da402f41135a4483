/** Rearrangements with their derivatives: each one's gradient is the opposite rearrangement. */
import * as raw from '../tensor/shape.ts';
import { type Shape, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { sumTo } from './reduce.ts';
import { record } from './tape.ts';

/** The same elements, row-major, in another shape; one dimension may be -1. @throws Error if the sizes differ */
export function reshape(x: Tensor, shape: Shape): Tensor {
  return record('reshape', [x], x.reshape(shape), g => [reshape(g, x.shape)]);
}

/** [N, ...] to [N, product of the rest]. */
export function flatten(x: Tensor): Tensor {
  const [n, ...rest] = x.shape;
  return reshape(x, [n, sizeOf(rest)]); // not -1, which an empty tensor leaves open
}

/** Dimensions in another order: y.shape[i] = x.shape[order[i]]. @throws Error unless `order` has each once */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  const inverse = order.map((_, d) => order.indexOf(d));
  return record('permute', [x], raw.permute(x, order), g => [permute(g, inverse)]);
}

/** Exchanges two dimensions, the last two by default. @throws Error where there is no such dimension */
export function transpose(x: Tensor, a = -2, b = -1): Tensor {
  return record('transpose', [x], raw.transpose(x, a, b), g => [transpose(g, a, b)]);
}

/** Reverses the given axes. @throws Error for one that x does not have, or twice */
export function flip(x: Tensor, axes: readonly number[]): Tensor {
  return record('flip', [x], raw.flip(x, axes), g => [flip(g, axes)]);
}

/** Elements start[d] <= i < start[d] + size[d] of every dimension. @throws Error where that is out of range */
export function slice(x: Tensor, start: readonly number[], size: readonly number[]): Tensor {
  const after = x.shape.map((s, d) => s - start[d] - size[d]);
  return record('slice', [x], raw.slice(x, start, size), g => [pad(g, start, after)]);
}

/** Surrounds x with `value`: before[d] elements before and after[d] behind each dimension. */
export function pad(x: Tensor, before: readonly number[], after: readonly number[], value = 0): Tensor {
  return record('pad', [x], raw.pad(x, before, after, value), g => [slice(g, before, x.shape)]);
}

/** Repeats dimensions of size 1, and missing leading ones, up to `shape`. @throws Error if another size is to change */
export function expand(x: Tensor, shape: Shape): Tensor {
  return record('expand', [x], raw.expand(x, shape), g => [sumTo(g, x.shape)]);
}

/** Joins tensors, at least one, along an axis. @throws Error if their other dimensions differ */
export function concat(parts: readonly Tensor[], axis = 0): Tensor {
  return record('concat', parts, raw.concat(parts, axis), (g, needs) => {
    const d = axis < 0 ? axis + g.rank : axis;
    let at = 0;
    return parts.map((t, i) => {
      const start = t.shape.map((_, k) => (k === d ? at : 0));
      at += t.shape[d];
      return needs[i] ? slice(g, start, t.shape) : undefined;
    });
  });
}
