/** Reductions over any axes (reduce.wgsl), and sums over slices (reduce_slices.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';
import { contiguousStrides, mergeDims } from './layout.ts';

/** How values are joined, the neutral element, and what is done to each value before. */
const reductions = {
  sum: { join: 'a + b', map: 'a', start: 0 },
  sumSquares: { join: 'a + b', map: 'a * a', start: 0 },
  sumAbs: { join: 'a + b', map: 'abs(a)', start: 0 },
  max: { join: 'max(a, b)', map: 'a', start: -Infinity },
  min: { join: 'min(a, b)', map: 'a', start: Infinity },
  argmax: { compare: '>', map: 'a', start: -Infinity },
  argmin: { compare: '<', map: 'a', start: Infinity },
} as const;

export type Reduction = keyof typeof reductions;

/** Outputs above which one invocation an output is parallel enough. */
const SERIAL_OUTPUTS = 4096;

/**
 * y = reduction of x over `axes`, times `scale` (sums only). y is float32, or int32 for arg reductions (an index into the reduced
 * dimensions, row-major).
 */
export function reduce(
  device: Device,
  kind: Reduction,
  x: Storage,
  y: Storage,
  shape: readonly number[],
  axes: readonly number[],
  scale = 1,
): void {
  const strides = contiguousStrides(shape);
  const pick = (dims: number[]) =>
    mergeDims(
      dims.map(d => shape[d]),
      [dims.map(d => strides[d])],
    );
  const all = shape.map((_, d) => d);
  const kept = pick(all.filter(d => !axes.includes(d)));
  const reduced = pick(all.filter(d => axes.includes(d)));
  if (kept.dims.length > 4 || reduced.dims.length > 4)
    throw new Error(`reduction of [${shape}] over [${axes}]: too many separate dimensions`);
  const size = kept.dims.reduce((a, b) => a * b, 1);
  const count = reduced.dims.reduce((a, b) => a * b, 1);
  const group = size >= SERIAL_OUTPUTS || count < 64 ? 0 : 64;
  const r = reductions[kind];
  const arg = 'compare' in r;
  const four = (values: readonly number[], fill: number) => [...new Array<number>(4 - values.length).fill(fill), ...values];
  device.dispatch(
    program('reduce', 'rw', { KIND: kind, ARG: arg ? 1 : 0, GROUP: group }, 'main', {
      MAP: r.map,
      JOIN: arg ? '' : r.join,
      COMPARE: arg ? r.compare : '',
    }),
    [x, y],
    uniform()
      .uint(size, count)
      .float(scale, r.start)
      .uint(...four(kept.dims, 1), ...four(kept.strides[0], 0))
      .uint(...four(reduced.dims, 1), ...four(reduced.strides[0], 0)),
    group ? gridFor(size, 1) : gridFor(size, 64),
  );
}

/** Hands `launch` room for partial results [slices, size], and adds them up in y [size]; the room is y itself where there is one slice. */
export function inSlices(device: Device, y: Storage, slices: number, size: number, launch: (part: Storage) => void): void {
  if (slices === 1) {
    launch(y);
    return;
  }
  const part = device.allocate(slices * size * 4);
  launch(part);
  reduceSlices(device, part, y, slices, size);
  device.discard(part);
}

/** y[i] = sum over s of part[s, i]: adds up what kernels left in slices. */
export function reduceSlices(device: Device, part: Storage, y: Storage, slices: number, size: number): void {
  device.dispatch(program('reduce_slices', 'rw'), [part, y], uniform().uint(size, slices), gridFor(size, 64));
}
