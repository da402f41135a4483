/** Rearrangements with their derivatives: each one's gradient is the opposite rearrangement. */
import * as raw from '../tensor/shape.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import { sumTo } from './reduce.ts';
import { record } from './tape.ts';

export function reshape(x: Tensor, shape: Shape): Tensor {
  return record('reshape', [x], x.reshape(shape), g => [reshape(g, x.shape)]);
}

/** [N, ...] to [N, product of the rest]. */
export function flatten(x: Tensor): Tensor {
  return reshape(x, [x.shape[0], -1]);
}

export function permute(x: Tensor, order: readonly number[]): Tensor {
  const inverse = order.map((_, d) => order.indexOf(d));
  return record('permute', [x], raw.permute(x, order), g => [permute(g, inverse)]);
}

export function transpose(x: Tensor, a = -2, b = -1): Tensor {
  return record('transpose', [x], raw.transpose(x, a, b), g => [transpose(g, a, b)]);
}

export function flip(x: Tensor, axes: readonly number[]): Tensor {
  return record('flip', [x], raw.flip(x, axes), g => [flip(g, axes)]);
}

export function slice(x: Tensor, start: readonly number[], size: readonly number[]): Tensor {
  const after = x.shape.map((s, d) => s - start[d] - size[d]);
  return record('slice', [x], raw.slice(x, start, size), g => [pad(g, start, after)]);
}

export function pad(x: Tensor, before: readonly number[], after: readonly number[], value = 0): Tensor {
  return record('pad', [x], raw.pad(x, before, after, value), g => [slice(g, before, x.shape)]);
}

export function expand(x: Tensor, shape: Shape): Tensor {
  return record('expand', [x], raw.expand(x, shape), g => [sumTo(g, x.shape)]);
}

export function concat(parts: readonly Tensor[], axis = 0): Tensor {
  const d = axis < 0 ? axis + parts[0].rank : axis;
  return record('concat', parts, raw.concat(parts, d), (g, needs) => {
    let at = 0;
    return parts.map((t, i) => {
      const start = t.shape.map((_, k) => (k === d ? at : 0));
      at += t.shape[d];
      return needs[i] ? slice(g, start, t.shape) : undefined;
    });
  });
}
