/** Reading and writing by int32 indices. An index out of range reads 0 and writes nothing. */
import * as kernel from '../kernels/index.ts';
import { empty, sizeOf, type Tensor } from './tensor.ts';

/** y[..., j, ...] = x[..., at[..., j, ...], ...] along `axis`; `at` has x's shape except along it. */
export function gather(x: Tensor, at: Tensor, axis: number): Tensor {
  const y = empty(x.device, at.shape);
  const outer = sizeOf(x.shape.slice(0, axis));
  kernel.gather(
    x.device,
    at.storage,
    x.storage,
    y.storage,
    outer,
    at.shape[axis],
    sizeOf(x.shape.slice(axis + 1)),
    x.shape[axis],
  );
  return y;
}

/** The gradient of `gather`: elements of g added up by index; `total` is the size of the axis. */
export function scatterAdd(g: Tensor, at: Tensor, axis: number, total: number): Tensor {
  const y = empty(
    g.device,
    g.shape.map((s, d) => (d === axis ? total : s)),
  );
  const outer = sizeOf(g.shape.slice(0, axis));
  kernel.scatterAdd(g.device, at.storage, g.storage, y.storage, outer, g.shape[axis], sizeOf(g.shape.slice(axis + 1)), total);
  return y;
}

/** [N, classes] with 1 at each of the int32 indices [N]. */
export function oneHot(at: Tensor, classes: number): Tensor {
  const y = empty(at.device, [at.size, classes]);
  kernel.oneHot(at.device, at.storage, y.storage, at.size, classes);
  return y;
}

/** Rows of x [R, ...] by index [N]: [N, ...]. */
export function gatherRows(x: Tensor, at: Tensor): Tensor {
  const rest = x.shape.slice(1);
  const y = empty(x.device, [at.size, ...rest]);
  kernel.gatherRows(x.device, at.storage, x.storage, y.storage, at.size, sizeOf(rest), x.shape[0]);
  return y;
}

/** The gradient of `gatherRows`: rows of g [N, ...] added up by index into [total, ...]. */
export function scatterAddRows(g: Tensor, at: Tensor, total: number): Tensor {
  const rest = g.shape.slice(1);
  const y = empty(g.device, [total, ...rest]);
  kernel.scatterAddRows(g.device, at.storage, g.storage, y.storage, at.size, sizeOf(rest), total);
  return y;
}
