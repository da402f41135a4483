/**
 * Two-dimensional convolution (cross-correlation, as PyTorch's conv2d) and both gradients.
 *
 *   y[n, f, p, q] = sum over c, r, s of x[n, c', p·sh - ph + r·dh, q·sw - pw + s·dw] · w[f, c, r, s]
 *
 * with c' = c + (group of f)·C/groups and x = 0 outside the image. The output is a sum of products x·w, and so each gradient is a sum
 * over the same products; they are enumerated once.
 */
import { type Ref, ref } from './array.ts';

/** Pairs are [vertical, horizontal]; `padding` is added on both sides. */
export interface ConvOptions {
  stride: [number, number];
  padding: [number, number];
  dilation: [number, number];
  groups: number;
}

export const plainConv: ConvOptions = { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

/** Extent of the output along one axis (0 or less: the kernel does not fit). */
export function convExtent(input: number, kernel: number, stride: number, padding: number, dilation: number): number {
  return Math.floor((input + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

/** [N, F, P, Q] for x [N, C, H, W] and w [F, C/groups, R, S]. */
export function convShape(x: readonly number[], w: readonly number[], options: ConvOptions): number[] {
  const [vertical, horizontal] = [0, 1].map(axis =>
    convExtent(x[2 + axis], w[2 + axis], options.stride[axis], options.padding[axis], options.dilation[axis]),
  );
  return [x[0], w[0], vertical, horizontal];
}

/** Calls `visit` with the positions (in y, x and w) of every product that exists. */
function forEachProduct(
  xShape: readonly number[],
  wShape: readonly number[],
  options: ConvOptions,
  visit: (y: number, x: number, w: number) => void,
): void {
  const [N, C, H, W] = xShape;
  const [F, groupChannels, R, S] = wShape;
  const { stride, padding, dilation, groups } = options;
  if (C !== groupChannels * groups || F % groups !== 0)
    throw new RangeError(`[${xShape}] and [${wShape}] do not fit ${groups} groups`);
  const [, , P, Q] = convShape(xShape, wShape, options);
  for (let n = 0; n < N; n++)
    for (let f = 0; f < F; f++) {
      const firstChannel = Math.floor(f / (F / groups)) * groupChannels;
      for (let p = 0; p < P; p++)
        for (let q = 0; q < Q; q++)
          for (let c = 0; c < groupChannels; c++)
            for (let r = 0; r < R; r++)
              for (let s = 0; s < S; s++) {
                const h = p * stride[0] - padding[0] + r * dilation[0];
                const w = q * stride[1] - padding[1] + s * dilation[1];
                if (h < 0 || h >= H || w < 0 || w >= W) continue;
                visit(
                  ((n * F + f) * P + p) * Q + q,
                  ((n * C + firstChannel + c) * H + h) * W + w,
                  ((f * groupChannels + c) * R + r) * S + s,
                );
              }
    }
}

export const conv2d = {
  /** x [N, C, H, W], w [F, C/groups, R, S] -> y [N, F, P, Q]. */
  forward(x: Ref, w: Ref, options: ConvOptions): Ref {
    const y = ref(convShape(x.shape, w.shape, options));
    forEachProduct(x.shape, w.shape, options, (iy, ix, iw) => {
      y.data[iy] += x.data[ix] * w.data[iw];
    });
    return y;
  },
  /** dx from dy and w; the input's values are not needed, its shape is. */
  inputGradient(xShape: readonly number[], w: Ref, options: ConvOptions, gradOutput: Ref): Ref {
    const dx = ref(xShape);
    forEachProduct(xShape, w.shape, options, (iy, ix, iw) => {
      dx.data[ix] += gradOutput.data[iy] * w.data[iw];
    });
    return dx;
  },
  /** dw from dy and x. */
  weightGradient(x: Ref, wShape: readonly number[], options: ConvOptions, gradOutput: Ref): Ref {
    const dw = ref(wShape);
    forEachProduct(x.shape, wShape, options, (iy, ix, iw) => {
      dw.data[iw] += gradOutput.data[iy] * x.data[ix];
    });
    return dw;
  },
  backward(x: Ref, w: Ref, options: ConvOptions, gradOutput: Ref): [Ref, Ref] {
    return [conv2d.inputGradient(x.shape, w, options, gradOutput), conv2d.weightGradient(x, w.shape, options, gradOutput)];
  },
};
