/** Copies that rearrange: permute, flip, slice, pad, expand (strided.wgsl), and writing into a range (place.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';
import { MAX_DIMS } from './layout.ts';

/** One dimension of the output: its size, the step in x for one step in y, and the range [lo, hi) that reads x. */
export interface Axis {
  size: number;
  stride: number;
  lo?: number;
  hi?: number;
}

/** y[i...] = x[base + sum i_d stride_d] inside the ranges, else the 32-bit pattern `bits`. */
export function stridedCopy(device: Device, x: Storage, y: Storage, axes: readonly Axis[], base: number, bits = 0): void {
  const kept = axes.filter(a => a.size !== 1 || a.lo !== undefined);
  if (kept.length > MAX_DIMS) throw new Error(`a copy over ${kept.length} dimensions: at most ${MAX_DIMS} are supported`);
  const size = kept.reduce((n, a) => n * a.size, 1);
  const row = (f: (a: Axis) => number) => Array.from({ length: MAX_DIMS }, (_, d) => (kept[d] ? f(kept[d]) : 0));
  device.dispatch(
    program('strided', 'rw'),
    [x, y],
    uniform()
      .uint(size, kept.length)
      .int(base)
      .int(bits)
      .uint(...row(a => a.size))
      .int(...row(a => a.stride))
      .int(...row(a => a.lo ?? 0))
      .int(...row(a => a.hi ?? a.size)),
    gridFor(size, 64),
  );
}

/** Writes x [outer, count, inner] into y [outer, total, inner] from index `at` of the middle dimension on. */
export function place(
  device: Device,
  x: Storage,
  y: Storage,
  outer: number,
  count: number,
  inner: number,
  total: number,
  at: number,
): void {
  const size = outer * count * inner;
  device.dispatch(program('place', 'rw'), [x, y], uniform().uint(size, count, inner, total, at), gridFor(size, 64));
}
