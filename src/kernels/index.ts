/** Reading and writing by index (index.wgsl). Indices are int32. */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** y [outer, count, inner] = x [outer, total, inner] at `at` [outer, count, inner] of the middle dimension. */
export function gather(
  device: Device,
  at: Storage,
  x: Storage,
  y: Storage,
  outer: number,
  count: number,
  inner: number,
  total: number,
): void {
  const size = outer * count * inner;
  device.dispatch(program('index', 'rrw', { OP: 0 }), [at, x, y], uniform().uint(size, count, inner, total), gridFor(size, 64));
}

/** y [outer, total, inner] = sums of x [outer, count, inner] by index: the gradient of `gather`. */
export function scatterAdd(
  device: Device,
  at: Storage,
  x: Storage,
  y: Storage,
  outer: number,
  count: number,
  inner: number,
  total: number,
): void {
  const size = outer * total * inner;
  device.dispatch(program('index', 'rrw', { OP: 1 }), [at, x, y], uniform().uint(size, count, inner, total), gridFor(size, 64));
}

/** y [n, classes] = 1 at each index. */
export function oneHot(device: Device, at: Storage, y: Storage, n: number, classes: number): void {
  const size = n * classes;
  device.dispatch(program('index', 'rw', { OP: 2 }), [at, y], uniform().uint(size, 0, 0, classes), gridFor(size, 64));
}

/** y [count, inner] = rows of x [total, inner]. */
export function gatherRows(
  device: Device,
  at: Storage,
  x: Storage,
  y: Storage,
  count: number,
  inner: number,
  total: number,
): void {
  const size = count * inner;
  device.dispatch(program('index', 'rrw', { OP: 3 }), [at, x, y], uniform().uint(size, count, inner, total), gridFor(size, 64));
}

/** y [total, inner] = sums of the rows of x [count, inner] by index: the gradient of `gatherRows`. */
export function scatterAddRows(
  device: Device,
  at: Storage,
  x: Storage,
  y: Storage,
  count: number,
  inner: number,
  total: number,
): void {
  const size = total * inner;
  device.dispatch(program('index', 'rrw', { OP: 4 }), [at, x, y], uniform().uint(size, count, inner, total), gridFor(size, 64));
}
