/**
 * Two-dimensional pooling, as PyTorch's max_pool2d, avg_pool2d and adaptive_avg_pool2d (no ceil mode). Every output is a function of a
 * window of its plane, so each operation is: which window, which function.
 */
import { type Ref, ref } from './array.ts';
import { convExtent } from './conv.ts';

/** Pairs are [vertical, horizontal]. Padding is at most half the kernel. */
export interface PoolOptions {
  kernel: [number, number];
  stride: [number, number];
  padding: [number, number];
}

/** Half-open range [start, end) of rows or columns, already cut to the image. */
type Range = [start: number, end: number];

/** The windows along one axis of extent `input`. */
function slidingRanges(input: number, kernel: number, stride: number, padding: number): Range[] {
  const count = convExtent(input, kernel, stride, padding, 1);
  return Array.from({ length: count }, (_, i) => {
    const start = i * stride - padding;
    return [Math.max(start, 0), Math.min(start + kernel, input)];
  });
}

/** PyTorch's adaptive bins: [floor(i·in/out), ceil((i + 1)·in/out)). They overlap where in is no multiple of out. */
function adaptiveRanges(input: number, output: number): Range[] {
  return Array.from({ length: output }, (_, i) => [Math.floor((i * input) / output), Math.ceil(((i + 1) * input) / output)]);
}

/** For every output [N, C, P, Q] in order, the positions in x [N, C, H, W] of its window in row-major order. */
function windows(xShape: readonly number[], rows: Range[], columns: Range[]): number[][] {
  const [N, C, H, W] = xShape;
  const out: number[][] = [];
  for (let plane = 0; plane < N * C; plane++)
    for (const [top, bottom] of rows)
      for (const [left, right] of columns) {
        const window: number[] = [];
        for (let h = top; h < bottom; h++) for (let w = left; w < right; w++) window.push((plane * H + h) * W + w);
        out.push(window);
      }
  return out;
}

function slidingWindows(x: Ref, { kernel, stride, padding }: PoolOptions) {
  const rows = slidingRanges(x.shape[2], kernel[0], stride[0], padding[0]);
  const columns = slidingRanges(x.shape[3], kernel[1], stride[1], padding[1]);
  return { shape: [x.shape[0], x.shape[1], rows.length, columns.length], windows: windows(x.shape, rows, columns) };
}

/** Position of the first largest value of a window. */
function firstMax(x: Ref, window: number[]): number {
  return window.reduce((best, i) => (x.data[i] > x.data[best] ? i : best), window[0]);
}

/** Largest value of each window; padding never wins. Among equals the gradient goes to the first in row-major order. */
export const maxPool2d = {
  forward(x: Ref, options: PoolOptions): Ref {
    const { shape, windows } = slidingWindows(x, options);
    return ref(
      shape,
      windows.map(window => x.data[firstMax(x, window)]),
    );
  },
  backward(x: Ref, options: PoolOptions, gradOutput: Ref): Ref {
    const dx = ref(x.shape);
    slidingWindows(x, options).windows.forEach((window, out) => {
      dx.data[firstMax(x, window)] += gradOutput.data[out];
    });
    return dx;
  },
};

/** `countIncludePad` (PyTorch's default): divide by the kernel's size also where the window reaches into the padding. */
export interface AvgPoolOptions extends PoolOptions {
  countIncludePad?: boolean;
}

const divisor = (window: number[], { kernel, countIncludePad = true }: AvgPoolOptions) =>
  countIncludePad ? kernel[0] * kernel[1] : window.length;

export const avgPool2d = {
  forward(x: Ref, options: AvgPoolOptions): Ref {
    const { shape, windows } = slidingWindows(x, options);
    return ref(
      shape,
      windows.map(window => window.reduce((sum, i) => sum + x.data[i], 0) / divisor(window, options)),
    );
  },
  backward(x: Ref, options: AvgPoolOptions, gradOutput: Ref): Ref {
    const dx = ref(x.shape);
    slidingWindows(x, options).windows.forEach((window, out) => {
      for (const i of window) dx.data[i] += gradOutput.data[out] / divisor(window, options);
    });
    return dx;
  },
};

/** Mean of each adaptive bin; output [N, C, size[0], size[1]]. */
export const adaptiveAvgPool2d = {
  forward(x: Ref, size: [number, number]): Ref {
    const bins = windows(x.shape, adaptiveRanges(x.shape[2], size[0]), adaptiveRanges(x.shape[3], size[1]));
    return ref(
      [x.shape[0], x.shape[1], ...size],
      bins.map(bin => bin.reduce((sum, i) => sum + x.data[i], 0) / bin.length),
    );
  },
  backward(x: Ref, size: [number, number], gradOutput: Ref): Ref {
    const dx = ref(x.shape);
    windows(x.shape, adaptiveRanges(x.shape[2], size[0]), adaptiveRanges(x.shape[3], size[1])).forEach((bin, out) => {
      for (const i of bin) dx.data[i] += gradOutput.data[out] / bin.length;
    });
    return dx;
  },
};
