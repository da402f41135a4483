/** Pooling over [N, C, H, W]. Other ranks, and sizes that are not whole numbers, are refused. */
import * as kernel from '../kernels/pool.ts';
import { notWhole, wantFloat } from './checks.ts';
import { empty, type Shape, type Tensor } from './tensor.ts';

export interface PoolOptions {
  /** Window size. */
  kernel: number;
  /** Default: the window size. */
  stride?: number;
  padding?: number;
  /** Average pooling: whether padding counts in the divisor (PyTorch's default: yes). */
  countIncludePad?: boolean;
}

function wantImages(shape: Shape): void {
  if (shape.length !== 4) throw new Error(`pooling of [${shape}]: [N, C, H, W] is wanted`);
}

function windowed(shape: Shape, o: PoolOptions): kernel.PoolShape {
  wantImages(shape);
  const [n, c, h, w] = shape;
  const { kernel: k, stride = k, padding = 0, countIncludePad = true } = o;
  const bad = notWhole(['window', k, 1], ['stride', stride, 1], ['padding', padding, 0]);
  if (bad) throw new Error(`pooling of [${shape}]: ${bad}`);
  if (padding * 2 > k) throw new Error(`pooling with window ${k}: padding ${padding} is more than half of it`);
  const out = (size: number) => Math.floor((size + 2 * padding - k) / stride) + 1;
  const [oh, ow] = [out(h), out(w)];
  if (oh < 1 || ow < 1) throw new Error(`pooling of [${shape}] with window ${k}: the window is larger than the padded input`);
  return { planes: n * c, h, w, oh, ow, kernel: { kh: k, kw: k, stride, padding, countPad: countIncludePad } };
}

function adaptive(shape: Shape, size: readonly [number, number]): kernel.PoolShape {
  wantImages(shape);
  const bad = notWhole(['height', size[0], 1], ['width', size[1], 1]);
  if (bad) throw new Error(`pooling of [${shape}] to [${size}]: ${bad}`);
  const [n, c, h, w] = shape;
  return { planes: n * c, h, w, oh: size[0], ow: size[1] };
}

const outShape = (x: Shape, s: kernel.PoolShape) => [x[0], x[1], s.oh, s.ow];

/** Maxima and their int32 positions in the plane; the gradient goes to the first maximum of a window. */
export function maxPool2d(x: Tensor, options: PoolOptions): { y: Tensor; at: Tensor } {
  wantFloat('maxPool2d', x);
  const s = windowed(x.shape, options);
  const y = empty(x.device, outShape(x.shape, s));
  const at = empty(x.device, y.shape, 'i32');
  kernel.maxPool(x.device, x.storage, y.storage, at.storage, s);
  return { y, at };
}

export function maxPool2dBackward(g: Tensor, at: Tensor, xShape: Shape, options: PoolOptions): Tensor {
  const gx = empty(g.device, xShape);
  kernel.maxPoolBackward(g.device, g.storage, at.storage, gx.storage, windowed(xShape, options));
  return gx;
}

export function avgPool2d(x: Tensor, options: PoolOptions): Tensor {
  wantFloat('avgPool2d', x);
  const s = windowed(x.shape, options);
  const y = empty(x.device, outShape(x.shape, s));
  kernel.avgPool(x.device, x.storage, y.storage, s);
  return y;
}

export function avgPool2dBackward(g: Tensor, xShape: Shape, options: PoolOptions): Tensor {
  const gx = empty(g.device, xShape);
  kernel.avgPoolBackward(g.device, g.storage, gx.storage, windowed(xShape, options));
  return gx;
}

/** Average pooling to a given size; bin i covers floor(i·H/OH) to ceil((i+1)·H/OH), as in PyTorch. */
export function adaptiveAvgPool2d(x: Tensor, size: readonly [number, number]): Tensor {
  wantFloat('adaptiveAvgPool2d', x);
  const s = adaptive(x.shape, size);
  const y = empty(x.device, outShape(x.shape, s));
  kernel.avgPool(x.device, x.storage, y.storage, s);
  return y;
}

export function adaptiveAvgPool2dBackward(g: Tensor, xShape: Shape): Tensor {
  const gx = empty(g.device, xShape);
  kernel.avgPoolBackward(g.device, g.storage, gx.storage, adaptive(xShape, [g.shape[2], g.shape[3]]));
  return gx;
}
