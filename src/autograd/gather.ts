/** Reading by index, with its derivative: adding up by index. */
import * as raw from '../tensor/index.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { record } from './tape.ts';

/** y[..., j, ...] = x[..., at[..., j, ...], ...] along `axis`; `at` int32 with x's shape except along it. */
export function gather(x: Tensor, at: Tensor, axis: number): Tensor {
  const d = axis < 0 ? axis + x.rank : axis;
  return record('gather', [x], raw.gather(x, at, d), g => [scatterAdd(g, at, d, x.shape[d])]);
}

/** Elements of x added up by index along `axis`, which gets `total` elements. */
export function scatterAdd(x: Tensor, at: Tensor, axis: number, total: number): Tensor {
  const d = axis < 0 ? axis + x.rank : axis;
  return record('scatterAdd', [x], raw.scatterAdd(x, at, d, total), g => [gather(g, at, d)]);
}

/** Rows of x [R, ...] by int32 index [N]. */
export function gatherRows(x: Tensor, at: Tensor): Tensor {
  return record('gatherRows', [x], raw.gatherRows(x, at), g => [scatterAddRows(g, at, x.shape[0])]);
}

/** Rows of x [N, ...] added up by int32 index into [total, ...]. */
export function scatterAddRows(x: Tensor, at: Tensor, total: number): Tensor {
  return record('scatterAddRows', [x], raw.scatterAddRows(x, at, total), g => [gatherRows(g, at)]);
}
