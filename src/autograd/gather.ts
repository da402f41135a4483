/** Reading by index, with its derivative: adding up by index. */
import * as raw from '../tensor/index.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { record } from './tape.ts';

/**
 * y[..., j, ...] = x[..., at[..., j, ...], ...] along `axis`, of x's type; `at` int32 with x's shape except along it.
 * @throws Error for other shapes, naming both, and for indices that are no integers, in all of this file
 */
export function gather(x: Tensor, at: Tensor, axis: number): Tensor {
  return record('gather', [x], raw.gather(x, at, axis), g => [scatterAdd(g, at, axis, x.shape.at(axis)!)]);
}

/** Elements of x added up by int32 indices of its shape along `axis`, which gets `total` elements. */
export function scatterAdd(x: Tensor, at: Tensor, axis: number, total: number): Tensor {
  return record('scatterAdd', [x], raw.scatterAdd(x, at, axis, total), g => [gather(g, at, axis)]);
}

/** Rows of x [R, ...] by int32 index [N], of x's type. */
export function gatherRows(x: Tensor, at: Tensor): Tensor {
  return record('gatherRows', [x], raw.gatherRows(x, at), g => [scatterAddRows(g, at, x.shape[0])]);
}

/** Rows of x [N, ...] added up by int32 index into [total, ...]. */
export function scatterAddRows(x: Tensor, at: Tensor, total: number): Tensor {
  return record('scatterAddRows', [x], raw.scatterAddRows(x, at, total), g => [gatherRows(g, at)]);
}
