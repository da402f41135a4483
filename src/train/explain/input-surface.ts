/**
 * The loss around an image x, over the plane that an adversarial and a random direction span:
 *
 *   clamp(x + a·u + b·v, 0, 1),   u = eps·sign(g),   v = eps·r,
 *
 * with g the gradient of the cross-entropy by x's pixels and r of -1 and 1 with equal probability (Rademacher). a and b are in units of eps: (1, 0)
 * is FGSM's image, and the attack's ball is |a| + |b| <= 1, for r agrees with the sign of g at some pixels. In L2 both directions have length eps
 * instead, u = eps·g/|g| and v = eps·r/|r|, which are nearly at right angles, and the ball is a² + b² <= 1.
 */
import { normalised, predict, randomSigns } from '../../adv/batch.ts';
import { type AttackSettings, crossEntropyLoss, type Forward, inputGradient } from '../../adv/pgd.ts';
import * as F from '../../autograd/index.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import type { Random } from '../../tensor/philox.ts';
import { argmax } from '../../tensor/reduce.ts';
import { scope, type Tensor, tensor } from '../../tensor/tensor.ts';

/** Values at [i·G + j]: a = axis[j] along the adversarial direction, b = axis[i] along the random one. */
export interface InputSurface {
  /** Cross-entropy in nats, [G, G]. */
  readonly loss: Float32Array;
  /** The predicted class, [G, G]. */
  readonly predicted: Int32Array;
}

/**
 * The surface around one image.
 * @param image [1, C, H, W] in [0, 1] @param label int32 [1] @param axis G coordinates in units of eps
 * @param random for the random direction @param batchSize points computed at once
 */
export async function inputSurface(
  forward: Forward,
  image: Tensor,
  label: Tensor,
  ball: Pick<AttackSettings, 'norm' | 'eps'>,
  axis: readonly number[],
  random: Random,
  batchSize: number,
): Promise<InputSurface> {
  const { device } = image;
  const [klass] = await label.data();
  const directions = scope(device, () => planeOf(forward, image, label, ball, random));
  const points = axis.length ** 2;
  const surface = { loss: new Float32Array(points), predicted: new Int32Array(points) };
  for (let at = 0; at < points; at += batchSize) {
    const n = Math.min(batchSize, points - at);
    const steps = (coordinate: (point: number) => number) =>
      tensor(
        device,
        Float32Array.from({ length: n }, (_, i) => axis[coordinate(at + i)]),
        [n, 1, 1, 1],
      );
    const { losses, predicted } = scope(device, () => {
      const a = steps(point => point % axis.length);
      const b = steps(point => Math.floor(point / axis.length));
      return measure(forward, moved(image, directions, a, b), klass);
    });
    surface.loss.set(await losses.floats(), at);
    surface.predicted.set((await predicted.data()) as Int32Array, at);
    for (const t of [losses, predicted]) t.dispose();
  }
  for (const t of Object.values(directions)) t.dispose();
  return surface;
}

interface Plane {
  u: Tensor;
  v: Tensor;
}

function planeOf(
  forward: Forward,
  image: Tensor,
  label: Tensor,
  { norm, eps }: Pick<AttackSettings, 'norm' | 'eps'>,
  random: Random,
): Plane {
  const g = inputGradient(forward, image, label, crossEntropyLoss);
  const r = randomSigns(image.device, image.shape, random);
  const [u, v] = norm === 'linf' ? [elementwise('sign', [g]), r] : [normalised(g, 'l2'), normalised(r, 'l2')];
  return { u: elementwise('mulScalar', [u], [eps]), v: elementwise('mulScalar', [v], [eps]) };
}

/** The images at coordinates a and b, each [N, 1, 1, 1]: [N, C, H, W]. */
function moved(image: Tensor, { u, v }: Plane, a: Tensor, b: Tensor): Tensor {
  const along = elementwise('add', [elementwise('mul', [a, u]), elementwise('mul', [b, v])]);
  return elementwise('clamp', [elementwise('add', [image, along])], [0, 1]);
}

function measure(forward: Forward, images: Tensor, klass: number): { losses: Tensor; predicted: Tensor } {
  const n = images.shape[0];
  const logits = predict(forward, images);
  const labels = tensor(images.device, new Int32Array(n).fill(klass), [n], 'i32');
  return {
    losses: F.noGrad(() => F.crossEntropy(logits, labels, { reduction: 'none' })),
    predicted: argmax(logits, { axes: [1] }),
  };
}
