/**
 * Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", section 3): the positions of a
 * feature map A [C, h, w] that speak for a class,
 *
 *   relu(Σ_k a_k·A_k),   a_k = mean over positions of ∂z_class/∂A_k,
 *
 * enlarged to the image and scaled to [0, 1].
 */
import * as F from '../../autograd/index.ts';
import type { Module } from '../../nn/module.ts';
import { observe } from '../../nn/observe.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';
import { principalMap } from './principal.ts';

export interface CamOptions {
  /**
   * The mean with the map of the mirrored image, mirrored back. The `aug_smooth` of pytorch-grad-cam is the mean over six views: these two
   * at .9, 1 and 1.1 times the brightness.
   */
  readonly flip: boolean;
  /** The first principal component of the weighted activations instead of their sum: see `principalMap`. */
  readonly eigen: boolean;
}

/**
 * A map in [0, 1] for each image, [N, H, W].
 * @param layer the module of `model` whose output is looked at, [N, C, h, w]
 * @param x [N, C, H, W] in [0, 1] @param classes int32 [N]
 */
export async function gradCam(
  model: Module,
  layer: Module,
  x: Tensor,
  classes: Tensor,
  { flip, eigen }: CamOptions,
): Promise<Float32Array> {
  const [n, , height, width] = x.shape;
  const out = new Float32Array(n * height * width);
  const views = flip ? [false, true] : [false];
  for (const mirrored of views) {
    const { map, gradient } = scope(x.device, () => explained(model, layer, mirrored ? F.flip(x, [3]) : x, classes));
    const [activations, gradients] = [await map.floats(), await gradient.floats()];
    const [, channels, h, w] = map.shape;
    for (const t of [map, gradient]) t.dispose();
    const size = channels * h * w;
    for (let i = 0; i < n; i++) {
      const [a, g] = [activations, gradients].map(values => values.subarray(i * size, (i + 1) * size));
      const cam = positiveMap(a, g, channels, eigen);
      if (mirrored) for (let row = 0; row < h; row++) cam.subarray(row * w, (row + 1) * w).reverse();
      // scaled after that, since pixels need not meet the map's extremes: every view weighs as much in the mean
      const large = toUnit(enlarge(cam, [h, w], [height, width]));
      const own = out.subarray(i * height * width, (i + 1) * height * width);
      large.forEach((value, p) => {
        own[p] += value / views.length;
      });
    }
  }
  return out;
}

/** The layer's output, and the gradient by it of every image's own class. */
function explained(model: Module, layer: Module, x: Tensor, classes: Tensor): { map: Tensor; gradient: Tensor } {
  let output: Tensor | undefined;
  const input = F.track(F.detach(x));
  const score = F.enableGrad(() => {
    const logits = observe(
      [layer],
      (_, y) => (output = y),
      () => model.forward(input),
    );
    // images do not touch each other in eval mode, so the gradient of the sum is each one's own
    return F.sum(F.labelLogit(logits, classes));
  });
  const map = output!;
  return { map: F.detach(map), gradient: F.grad(score, [map])[0] };
}

/** relu of the weighted activations' sum, or of their first principal component. [C, P] -> [P]. */
function positiveMap(activations: Float32Array, gradients: Float32Array, channels: number, eigen: boolean): Float64Array {
  const positions = activations.length / channels;
  const weighted = Float64Array.from(activations);
  for (let c = 0; c < channels; c++) {
    const at = c * positions;
    const weight = gradients.subarray(at, at + positions).reduce((sum, g) => sum + g, 0) / positions;
    for (let p = at; p < at + positions; p++) weighted[p] *= weight;
  }
  const map = eigen ? principalMap(weighted, channels) : sumOverChannels(weighted, positions);
  return map.map(value => Math.max(value, 0));
}

function sumOverChannels(weighted: Float64Array, positions: number): Float64Array {
  const sum = new Float64Array(positions);
  weighted.forEach((value, i) => {
    sum[i % positions] += value;
  });
  return sum;
}

/** The smallest value becomes 0 and the largest 1; a constant map becomes 0. */
function toUnit(map: Float64Array): Float64Array {
  let [low, high] = [map[0], map[0]];
  for (const value of map) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return map.map(value => (high > low ? (value - low) / (high - low) : 0));
}

/** Bilinear, with the centres of the corner pixels' areas in their places; a constant map stays exactly constant. */
function enlarge(map: Float64Array, [h, w]: readonly number[], [height, width]: readonly number[]): Float64Array {
  const [rows, columns] = [taps(h, height), taps(w, width)];
  const out = new Float64Array(height * width);
  const between = (from: number, to: number, share: number) => from + (to - from) * share;
  rows.forEach(([top, bottom, down], y) => {
    columns.forEach(([left, right, across], x) => {
      const upper = between(map[top * w + left], map[top * w + right], across);
      const lower = between(map[bottom * w + left], map[bottom * w + right], across);
      out[y * width + x] = between(upper, lower, down);
    });
  });
  return out;
}

/** For each of `to` pixels the two of `from` that it lies between, and how far it is on the way to the second. */
function taps(from: number, to: number): [number, number, number][] {
  return Array.from({ length: to }, (_, i) => {
    const at = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    const first = Math.floor(at);
    return [first, Math.min(first + 1, from - 1), at - first];
  });
}
