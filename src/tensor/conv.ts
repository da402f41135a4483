/** conv2d and its two gradients. All three are bilinear, and each one's gradients are the other two: second derivatives need nothing else. */
import { type ConvShape, convForward, convInputGrad, convWeightGrad } from '../kernels/conv.ts';
import { notWhole, wantFloat } from './checks.ts';
import { empty, type Shape, type Tensor } from './tensor.ts';

export interface ConvOptions {
  stride?: number;
  padding?: number;
  dilation?: number;
  groups?: number;
  /** About which share of w is not 0; a kernel that skips zeros may then be taken. Without effect on the result. */
  density?: number;
}

/** What is wrong with the options, whatever the shapes are, if anything is. */
export function wrongOption({ stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvOptions): string | undefined {
  return notWhole(['stride', stride, 1], ['padding', padding, 0], ['dilation', dilation, 1], ['groups', groups, 1]);
}

/** Sizes of a convolution. @throws Error where the shapes do not fit, naming both, and for options out of range */
export function convShape(x: Shape, w: Shape, options: ConvOptions = {}): ConvShape {
  const { stride = 1, padding = 0, dilation = 1, groups = 1, density } = options;
  const wrong = (what: string) => new Error(`conv2d of x [${x}] with w [${w}]: ${what}`);
  const bad = wrongOption(options);
  if (bad) throw wrong(bad);
  if (x.length !== 4 || w.length !== 4) throw wrong('x is [N, C, H, W] and w is [CO, CI/groups, KH, KW]');
  const [n, ci, h, width] = x;
  const [co, cg, kh, kw] = w;
  if (ci !== cg * groups || ci % groups !== 0 || co % groups !== 0)
    throw wrong(`channels do not fit ${groups} group${groups > 1 ? 's' : ''}`);
  const oh = Math.floor((h + 2 * padding - dilation * (kh - 1) - 1) / stride) + 1;
  const ow = Math.floor((width + 2 * padding - dilation * (kw - 1) - 1) / stride) + 1;
  if (oh < 1 || ow < 1) throw wrong('the kernel is larger than the padded input');
  return { n, ci, h, w: width, co, oh, ow, kh, kw, stride, padding, dilation, groups, density };
}

/** @throws Error where a gradient by y has not y's shape */
function wantOutput(op: string, g: Tensor, { n, co, oh, ow }: ConvShape): void {
  const y = [n, co, oh, ow];
  if (`${g.shape}` !== `${y}`) throw new Error(`${op} with g [${g.shape}]: that of these sizes is [${y}]`);
}

/** y [N, CO, OH, OW] = conv2d(x [N, CI, H, W], w [CO, CI/groups, KH, KW]), cross-correlation as in PyTorch. */
export function conv2d(x: Tensor, w: Tensor, options?: ConvOptions): Tensor {
  wantFloat('conv2d', x, w);
  const s = convShape(x.shape, w.shape, options);
  const y = empty(x.device, [s.n, s.co, s.oh, s.ow]);
  convForward(x.device, x.storage, w.storage, y.storage, s);
  return y;
}

/**
 * The gradient of sum(conv2d(x, w) · g) by x, of shape `xShape`.
 * @param before gives another gradient by x, if there is one; called only where the sum of both takes no pass of its own, and then it is returned
 */
export function conv2dInputGrad(
  g: Tensor,
  w: Tensor,
  xShape: Shape,
  options?: ConvOptions,
  before?: () => Tensor | undefined,
): Tensor {
  wantFloat('conv2dInputGrad', g, w);
  const s = convShape(xShape, w.shape, options);
  wantOutput('conv2dInputGrad', g, s);
  const gx = empty(g.device, xShape);
  convInputGrad(g.device, g.storage, w.storage, gx.storage, s, undefined, () => before?.()?.storage);
  return gx;
}

/** The gradient of sum(conv2d(x, w) · g) by w, of shape `wShape`. */
export function conv2dWeightGrad(x: Tensor, g: Tensor, wShape: Shape, options?: ConvOptions): Tensor {
  wantFloat('conv2dWeightGrad', x, g);
  const s = convShape(x.shape, wShape, options);
  wantOutput('conv2dWeightGrad', g, s);
  const gw = empty(x.device, wShape);
  convWeightGrad(x.device, x.storage, g.storage, gw.storage, s);
  return gw;
}
