/**
 * The loss in weight space (Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets", section 4): the network with weights
 *
 *   w + a·d + b·e
 *
 * for random directions d and e that are normalised filter by filter, so that a step is as long relative to one filter as to another,
 * whatever their scale. Biases, and the weights and statistics of batch normalisation, stay. Masked weights stay 0: d and e are masked, and normalised after that.
 */
import * as F from '../../autograd/index.ts';
import type { Module } from '../../nn/module.ts';
import { maskedParameters } from '../../sparse/masks.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import type { Random } from '../../tensor/philox.ts';
import { randomNormal } from '../../tensor/random.ts';
import { sum } from '../../tensor/reduce.ts';
import { concat, copyInto } from '../../tensor/shape.ts';
import { capture, scope, type Tensor, zeros } from '../../tensor/tensor.ts';
import type { HostTensors } from '../checkpoint.ts';

/** A tensor for each weight of a convolution or linear layer, by its name. */
export type Direction = ReadonlyMap<string, Tensor>;

/**
 * A random direction: d = n·m, then d_f·|w_f|/|d_f| for every filter f (an output's weights; in a linear layer a row), with n from N(0, 1)
 * and m the mask. To be disposed by `disposeDirection`.
 * @param masks by name, 0 or 1; a weight without one is taken as masked where it is exactly 0
 */
export function filterNormalised(model: Module, masks: HostTensors, random: Random): Direction {
  const direction = [...maskedParameters(model)].map(([name, w]): [string, Tensor] => {
    const made = scope(w.device, () => {
      const mask = masks.get(name);
      const m = mask ? zeros(w.device, w.shape).write(mask.data) : elementwise('affine', [elementwise('isZero', [w])], [-1, 1]);
      const d = elementwise('mul', [randomNormal(w.device, w.shape, random), m]);
      // a filter of masked weights alone has length 0, and its direction stays 0
      const scale = elementwise('div', [filterNorms(w), elementwise('addScalar', [filterNorms(d)], [1e-12])]);
      return elementwise('mul', [d, scale]);
    });
    return [name, made.keep()];
  });
  return new Map(direction);
}

/** The length of every filter, [OUT, 1, ...]. */
function filterNorms(w: Tensor): Tensor {
  const axes = w.shape.slice(1).map((_, d) => d + 1);
  return elementwise('sqrt', [sum(elementwise('square', [w]), { axes, keepDims: true })]);
}

export function disposeDirection(direction: Direction): void {
  for (const t of direction.values()) t.dispose();
}

/** Images [N, C, H, W], what an attack made of them, and int32 labels [N]. */
export interface Pairs {
  readonly images: Tensor;
  readonly adv: Tensor;
  readonly labels: Tensor;
}

/** Mean cross-entropy in nats at [i·G + j]: a = axis[j] along the first direction, b = axis[i] along the second. */
export interface WeightSurface {
  readonly clean: Float32Array;
  readonly adv: Float32Array;
}

export interface SurfaceOptions {
  /** Makes the attacked images anew at every point, for the weights there; by default they are those of the pairs everywhere. */
  readonly craft?: ((images: Tensor, labels: Tensor) => Tensor) | undefined;
  readonly onPoint?: (done: number, total: number) => void;
}

/**
 * The surface over a grid, of clean and of attacked images. The weights are moved in place, and are as before when it ends.
 * @param batches the images, whose losses are added up batch by batch @param axis G coordinates
 */
export async function weightSurface(
  model: Module,
  batches: readonly Pairs[],
  directions: readonly [Direction, Direction],
  axis: readonly number[],
  { craft, onPoint }: SurfaceOptions = {},
): Promise<WeightSurface> {
  const { device } = batches[0].images;
  const weights = maskedParameters(model);
  const saved = new Map([...weights].map(([name, w]) => [name, elementwise('copy', [w]).keep()]));
  const [a, b] = [zeros(device, [1]).keep(), zeros(device, [1]).keep()];
  const points = axis.length ** 2;
  const sums = { clean: new Float64Array(points), adv: new Float64Array(points) };
  const move = () => {
    for (const [name, w] of weights) {
      scope(device, () => {
        const [d, e] = directions.map(direction => direction.get(name)!);
        const along = elementwise('add', [elementwise('mul', [d, a]), elementwise('mul', [e, b])]);
        copyInto(elementwise('add', [saved.get(name)!, along]), w);
      });
    }
  };
  const lossOf = (x: Tensor, labels: Tensor) =>
    scope(device, () => F.noGrad(() => F.crossEntropy(model.forward(x), labels, { reduction: 'sum' })).reshape([1]));
  try {
    for (const [index, { images, adv, labels }] of batches.entries()) {
      const step = capture(device, () => {
        move();
        return concat([lossOf(images, labels), lossOf(craft ? craft(images, labels) : adv, labels)]);
      });
      try {
        await step.capture.ready();
        for (let point = 0; point < points; point++) {
          a.write([axis[point % axis.length]]);
          b.write([axis[Math.floor(point / axis.length)]]);
          const [clean, attacked] = await step.run().floats();
          sums.clean[point] += clean;
          sums.adv[point] += attacked;
          onPoint?.(index * points + point + 1, batches.length * points);
        }
      } finally {
        step.dispose();
      }
    }
  } finally {
    for (const [name, w] of weights) copyInto(saved.get(name)!, w);
    for (const t of [a, b, ...saved.values()]) t.dispose();
  }
  const count = batches.reduce((n, { labels }) => n + labels.size, 0);
  const means = (of: Float64Array) => Float32Array.from(of, value => value / count);
  return { clean: means(sums.clean), adv: means(sums.adv) };
}
