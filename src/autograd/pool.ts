/** Pooling with its derivatives. Every pooling is linear in what it selects, so each backward's own gradient is the forward again. */
import { gather as rawGather } from '../tensor/index.ts';
import type { PoolOptions } from '../tensor/pool.ts';
import * as raw from '../tensor/pool.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import { record } from './tape.ts';

/**
 * Maxima of windows, [N, C, H, W] to [N, C, OH, OW]; the gradient goes to the first maximum of a window.
 * @throws Error if a window does not fit, here and in avgPool2d
 */
export function maxPool2d(x: Tensor, o: PoolOptions): Tensor {
  const { y, at } = raw.maxPool2d(x, o);
  return record('maxPool2d', [x], y, g => [maxPoolBackward(g, at, x.shape, o)], { ...o });
}

function maxPoolBackward(g: Tensor, at: Tensor, xShape: Shape, o: PoolOptions): Tensor {
  return record('maxPoolBackward', [g], raw.maxPool2dBackward(g, at, xShape, o), gg => [pick(gg, at, xShape, o)]);
}

/** The elements at the maxima's positions. */
function pick(x: Tensor, at: Tensor, xShape: Shape, o: PoolOptions): Tensor {
  const planes = at.shape[0] * at.shape[1];
  const y = rawGather(x.reshape([planes, -1]), at.reshape([planes, -1]), 1).reshape(at.shape);
  return record('pick', [x], y, g => [maxPoolBackward(g, at, xShape, o)]);
}

/** Averages of windows, [N, C, H, W] to [N, C, OH, OW]. */
export function avgPool2d(x: Tensor, o: PoolOptions): Tensor {
  return record('avgPool2d', [x], raw.avgPool2d(x, o), g => [avgPoolBackward(g, x.shape, o)]);
}

function avgPoolBackward(g: Tensor, xShape: Shape, o: PoolOptions): Tensor {
  return record('avgPoolBackward', [g], raw.avgPool2dBackward(g, xShape, o), gg => [avgPool2d(gg, o)]);
}

/** Average over a grid of `size` bins, PyTorch's bin rule. */
export function adaptiveAvgPool2d(x: Tensor, size: readonly [number, number] = [1, 1]): Tensor {
  return record('adaptiveAvgPool2d', [x], raw.adaptiveAvgPool2d(x, size), g => [adaptiveBackward(g, x.shape, size)]);
}

function adaptiveBackward(g: Tensor, xShape: Shape, size: readonly [number, number]): Tensor {
  return record('adaptiveBackward', [g], raw.adaptiveAvgPool2dBackward(g, xShape), gg => [adaptiveAvgPool2d(gg, size)]);
}
