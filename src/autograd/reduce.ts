/** Reductions with their derivatives. */
import * as raw from '../tensor/reduce.ts';
import { normaliseAxes, type ReduceOptions } from '../tensor/reduce.ts';
import { type Shape, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { div, equal, mul } from './elementwise.ts';
import { expand, reshape } from './shape.ts';
import { record } from './tape.ts';

/** The shape with reduced axes kept as 1. */
const keptShape = (x: Tensor, axes: readonly number[]) => x.shape.map((s, d) => (axes.includes(d) ? 1 : s));

/** The sum over the axes, all by default. @throws Error for axes that there are not */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = normaliseAxes(options.axes, x.rank);
  return record('sum', [x], raw.sum(x, options), g => [expand(reshape(g, keptShape(x, axes)), x.shape)]);
}

/** The mean over the axes, all by default. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = normaliseAxes(options.axes, x.rank);
  const count = sizeOf(axes.map(d => x.shape[d]));
  return record('mean', [x], raw.mean(x, options), g => [expand(reshape(mul(g, 1 / count), keptShape(x, axes)), x.shape)]);
}

/** The largest over the axes; its gradient is shared equally among equal largest elements. */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = normaliseAxes(options.axes, x.rank);
  const y = raw.max(x, options);
  return record('max', [x], y, g => {
    const hit = equal(x, y.reshape(keptShape(x, axes)));
    return [mul(hit, div(reshape(g, keptShape(x, axes)), raw.sum(hit, { axes, keepDims: true })))];
  });
}

/** Sums a broadcast result back to the shape it was broadcast from. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  const lead = x.rank - shape.length;
  const axes = x.shape.flatMap((s, d) => (d < lead || (shape[d - lead] === 1 && s !== 1) ? [d] : []));
  if (axes.length === 0) return x;
  return reshape(sum(x, { axes }), shape);
}
