/**
 * Convolution with its derivatives. The three passes y = x∗w, gx = g⋆w, gw = x⋆g are each bilinear, and the gradients of any of them are
 * the other two. So gradients of gradients need no further kernels.
 */

import type { ConvOptions } from '../tensor/conv.ts';
import * as raw from '../tensor/conv.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import { record } from './tape.ts';

/** y = conv2d(x, w): x [N, CI, H, W], w [CO, CI/groups, KH, KW]. */
export function conv2d(x: Tensor, w: Tensor, o: ConvOptions = {}): Tensor {
  return record('conv2d', [x, w], raw.conv2d(x, w, o), (g, [nx, nw], before) => [
    nx ? conv2dInputGrad(g, w, x.shape, o, () => before(0)) : undefined,
    nw ? conv2dWeightGrad(x, g, w.shape, o) : undefined,
  ]);
}

/** gx = ∂⟨conv2d(x, w), g⟩/∂x. @param before another gradient by x, for a backward pass that is not recorded: see `raw.conv2dInputGrad` */
export function conv2dInputGrad(
  g: Tensor,
  w: Tensor,
  xShape: Shape,
  o: ConvOptions = {},
  before?: () => Tensor | undefined,
): Tensor {
  return record('conv2dInputGrad', [g, w], raw.conv2dInputGrad(g, w, xShape, o, before), (gg, [ng, nw]) => [
    ng ? conv2d(gg, w, o) : undefined,
    nw ? conv2dWeightGrad(gg, g, w.shape, o) : undefined,
  ]);
}

/** gw = ∂⟨conv2d(x, w), g⟩/∂w. */
export function conv2dWeightGrad(x: Tensor, g: Tensor, wShape: Shape, o: ConvOptions = {}): Tensor {
  return record('conv2dWeightGrad', [x, g], raw.conv2dWeightGrad(x, g, wShape, o), (gg, [nx, ng]) => [
    nx ? conv2dInputGrad(g, gg, x.shape, o) : undefined,
    ng ? conv2d(x, gg, o) : undefined,
  ]);
}
