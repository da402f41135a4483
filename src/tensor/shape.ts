/** Operations that rearrange: permute, flip, slice, pad, expand, concat. */
import { contiguousStrides } from '../kernels/layout.ts';
import { type Axis, place, stridedCopy } from '../kernels/shape.ts';
import { axisOf } from './checks.ts';
import { empty, type Shape, sizeOf, type Tensor } from './tensor.ts';

function rearrange(x: Tensor, axes: readonly Axis[], base: number, bits = 0): Tensor {
  const y = empty(
    x.device,
    axes.map(a => a.size),
    x.dtype,
  );
  if (y.size > 0) stridedCopy(x.device, x.storage, y.storage, axes, base, bits);
  return y;
}

/** Dimensions in another order: y.shape[i] = x.shape[order[i]]. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  if ([...order].sort((a, b) => a - b).some((d, i) => d !== i) || order.length !== x.rank) {
    throw new Error(`permute of [${x.shape}] by [${order}]: each dimension once is wanted`);
  }
  const strides = contiguousStrides(x.shape);
  return rearrange(
    x,
    order.map(d => ({ size: x.shape[d], stride: strides[d] })),
    0,
  );
}

/** Exchanges two dimensions (default: the last two). @throws Error where there is no such dimension */
export function transpose(x: Tensor, a = -2, b = -1): Tensor {
  const order = x.shape.map((_, d) => d);
  const what = `transpose of [${x.shape}] along ${a} and ${b}`;
  const [i, j] = [axisOf(what, x.shape, a), axisOf(what, x.shape, b)];
  [order[i], order[j]] = [order[j], order[i]];
  return permute(x, order);
}

/** Reverses the given axes. @throws Error for one that x does not have, or twice */
export function flip(x: Tensor, axes: readonly number[]): Tensor {
  const strides = contiguousStrides(x.shape);
  const what = `flip of [${x.shape}] along [${axes}]`;
  const turned = axes.map(a => axisOf(what, x.shape, a));
  if (new Set(turned).size < turned.length) throw new Error(`${what}: a dimension is given twice`);
  const base = turned.reduce((n, d) => n + strides[d] * (x.shape[d] - 1), 0);
  return rearrange(
    x,
    x.shape.map((size, d) => ({ size, stride: turned.includes(d) ? -strides[d] : strides[d] })),
    base,
  );
}

/** Elements start[d] <= i < start[d] + size[d] of every dimension. */
export function slice(x: Tensor, start: readonly number[], size: readonly number[]): Tensor {
  if (
    start.length !== x.rank ||
    size.length !== x.rank ||
    start.some((s, d) => s < 0 || size[d] < 0 || s + size[d] > x.shape[d])
  ) {
    throw new Error(`slice of [${x.shape}] from [${start}] of size [${size}]: out of range`);
  }
  const strides = contiguousStrides(x.shape);
  return rearrange(
    x,
    size.map((n, d) => ({ size: n, stride: strides[d] })),
    start.reduce((n, s, d) => n + s * strides[d], 0),
  );
}

/** Surrounds x with `value`: before[d] elements before and after[d] behind each dimension. */
export function pad(x: Tensor, before: readonly number[], after: readonly number[], value = 0): Tensor {
  if (before.length !== x.rank || after.length !== x.rank || [...before, ...after].some(b => !Number.isInteger(b) || b < 0)) {
    throw new Error(`pad of [${x.shape}] by [${before}] before and [${after}] behind: a count for each dimension is wanted`);
  }
  const strides = contiguousStrides(x.shape);
  const [bits] = x.dtype === 'f32' ? new Int32Array(Float32Array.of(value).buffer) : [value];
  const axes = x.shape.map((n, d) => ({ size: n + before[d] + after[d], stride: strides[d], lo: before[d], hi: before[d] + n }));
  return rearrange(x, axes, -before.reduce((n, b, d) => n + b * strides[d], 0), bits);
}

/** Repeats dimensions of size 1 (and missing leading ones) up to `shape`. */
export function expand(x: Tensor, shape: Shape): Tensor {
  const lead = shape.length - x.rank;
  if (lead < 0) throw new Error(`expand of [${x.shape}] to [${shape}]`);
  const strides = contiguousStrides(x.shape);
  const axes = shape.map((size, d) => {
    const own = d < lead ? 1 : x.shape[d - lead];
    if (own !== 1 && own !== size) throw new Error(`expand of [${x.shape}] to [${shape}]`);
    return { size, stride: own === 1 ? 0 : strides[d - lead] };
  });
  return rearrange(x, axes, 0);
}

/** Joins tensors, at least one, along an axis. @throws Error where types or other dimensions differ */
export function concat(parts: readonly Tensor[], axis = 0): Tensor {
  const [first] = parts;
  if (!first) throw new Error('concat of no tensors: at least one is wanted');
  const d = axisOf(`concat along ${axis} of [${first.shape}]`, first.shape, axis);
  const total = parts.reduce((n, t) => n + t.shape[d], 0);
  for (const t of parts) {
    if (t.rank !== first.rank || t.dtype !== first.dtype || t.shape.some((s, i) => i !== d && s !== first.shape[i])) {
      throw new Error(`concat along ${axis}: [${first.shape}] and [${t.shape}] do not fit`);
    }
  }
  const y = empty(
    first.device,
    first.shape.map((s, i) => (i === d ? total : s)),
    first.dtype,
  );
  const outer = sizeOf(first.shape.slice(0, d));
  const inner = sizeOf(first.shape.slice(d + 1));
  let at = 0;
  for (const t of parts) {
    if (t.size > 0) place(y.device, t.storage, y.storage, outer, t.shape[d], inner, total, at);
    at += t.shape[d];
  }
  return y;
}

/** Copies the elements of x into y, in place; both have the same number of elements. */
export function copyInto(x: Tensor, y: Tensor): void {
  if (x.size !== y.size || x.dtype !== y.dtype) throw new Error(`copy of [${x.shape}] into [${y.shape}]: they do not fit`);
  place(x.device, x.storage, y.storage, 1, x.size, 1, x.size, 0);
}
