/** Grad-CAM and saliency against float64, and what they must not depend on. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { gradCam } from '../../../src/train/explain/grad-cam.ts';
import { principalMap } from '../../../src/train/explain/principal.ts';
import { saliency } from '../../../src/train/explain/saliency.ts';
import { between, forAll, fromRef, random, seeds, testDevice } from '../../engine.ts';
import { type Ref, ref } from '../../reference/array.ts';
import { finishedCam, principalComponent, rawCam, type TinyState, tiny } from '../../reference/explain.ts';
import { finiteDifference, relativeError } from '../../reference/finite.ts';
import { channels, classes, tinyNetwork, tinyState } from './tiny.ts';

const device = await testDevice();
const sizes = fc.record({ seed: seeds, n: between(1, 3), h: between(5, 9), w: between(5, 9) });
const classesOf = (n: number, seed: number) => Array.from({ length: n }, (_, i) => (seed + 7 * i) % classes);
const mirrored = (x: Ref): Ref => {
  const w = x.shape.at(-1)!;
  return ref(
    x.shape,
    x.data.map((_, i) => x.data[i - (i % w) + w - 1 - (i % w)]),
  );
};

/** Uploads, runs and cleans up. */
async function on<T>(x: Ref, targets: readonly number[], work: (images: Tensor, classes: Tensor) => Promise<T>): Promise<T> {
  const [images, labels] = [fromRef(device, x), tensor(device, targets, [targets.length], 'i32')];
  try {
    return await work(images, labels);
  } finally {
    for (const t of [images, labels]) t.dispose();
  }
}

const layers = { bn1: 'a1', bn2: 'a2' } as const;

/** Weights, n images of h x w pixels and a class for each, of a seed. */
const drawn = (seed: number, n: number, h: number, w: number) => ({
  state: tinyState(seed),
  x: random([n, channels, h, w], seed + 99, 0, 1),
  targets: classesOf(n, seed),
});

describe('Grad-CAM', () => {
  it.each([
    ['bn1', false],
    ['bn1', true],
    ['bn2', false],
    ['bn2', true],
  ] as const)('of %s (eigen smoothing: %s) is the one of float64', async (name, eigen) => {
    await forAll(
      sizes,
      async ({ seed, n, h, w }) => {
        const { state, x, targets } = drawn(seed, n, h, w);
        const pass = tiny(state, x);
        const gradient = pass.gradients(targets)[layers[name]];
        const expected = targets.map((_, i) => rawCam(pass[layers[name]], gradient, i, eigen));
        // what hardly stands out of the rounding, or two components that are nearly as large, cannot be compared
        fc.pre(expected.every(({ condition }) => condition > 0.02));
        const network = tinyNetwork(device, state);
        const cam = await on(x, targets, (images, labels) =>
          gradCam(network, network[name], images, labels, { flip: false, eigen }),
        );
        network.dispose();
        const wanted = expected.flatMap(({ map }) => [...finishedCam(map, h, w).data]);
        expect(relativeError(cam, wanted)).toBeLessThan(1e-3);
      },
      20,
    );
  });

  it('with flips is the mean with the mirror image, and that of the mirror image is its mirror image', async () => {
    await forAll(
      fc.record({ seed: seeds, eigen: fc.boolean() }),
      async ({ seed, eigen }) => {
        const network = tinyNetwork(device, tinyState(seed));
        const x = random([2, channels, 7, 8], seed + 1, 0, 1);
        const cam = (of: Ref, augmented: boolean) =>
          on(of, classesOf(2, seed), (images, labels) =>
            gradCam(network, network.bn2, images, labels, { flip: augmented, eigen }),
          );
        const maps = (values: Float32Array) => ref([2, 7, 8], values);
        const [plain, other] = [maps(await cam(x, false)), mirrored(maps(await cam(mirrored(x), false)))];
        const [both, ofMirrored] = [maps(await cam(x, true)), mirrored(maps(await cam(mirrored(x), true)))];
        network.dispose();
        const mean = plain.data.map((value, i) => (value + other.data[i]) / 2);
        expect(Math.max(...both.data.map((value, i) => Math.abs(value - mean[i])))).toBeLessThan(1e-6);
        expect(Math.max(...both.data.map((value, i) => Math.abs(value - ofMirrored.data[i])))).toBeLessThan(1e-6);
      },
      15,
    );
  });

  it('without flips does change with the image mirrored: the convolutions are not symmetric', async () => {
    const network = tinyNetwork(device, tinyState(5));
    const x = random([1, channels, 7, 8], 6, 0, 1);
    const cam = (of: Ref) =>
      on(of, [1], (images, labels) => gradCam(network, network.bn2, images, labels, { flip: false, eigen: true }));
    const [one, other] = [await cam(x), mirrored(ref([1, 7, 8], await cam(mirrored(x))))];
    network.dispose();
    expect(relativeError(one, other.data)).toBeGreaterThan(0.05);
  });

  it('reaches from 0 to 1 in pixels that do not meet the extremes of the map, and is 0 where no position differs', async () => {
    const state = tinyState(3);
    const x = random([1, channels, 8, 8], 4, 0, 1);
    const ends = async (of: TinyState) => {
      const network = tinyNetwork(device, of);
      const cam = await on(x, [0], (images, labels) =>
        gradCam(network, network.bn2, images, labels, { flip: false, eigen: false }),
      );
      network.dispose();
      return [Math.min(...cam), Math.max(...cam)];
    };
    expect(await ends(state)).toEqual([0, 1]);
    // the second convolution gives the same everywhere: what batch normalisation makes of 0
    const flat = Object.fromEntries(
      Object.entries(state).map(([name, { shape, data }]) => {
        const constant = { 'conv2.weight': 0, 'bn2.bias': 0.3, 'bn2.running_mean': 0, 'linear.weight': 0.7 }[name];
        return [name, ref(shape, constant ?? data)];
      }),
    );
    expect(await ends(flat)).toEqual([0, 0]);
  });

  it('of a map with more positions than a call can have arguments', async () => {
    const side = 400;
    const network = tinyNetwork(device, tinyState(4));
    const x = random([1, channels, side, side], 5, 0, 1);
    const cam = await on(x, [2], (images, labels) => gradCam(network, network.bn1, images, labels, { flip: false, eigen: true }));
    network.dispose();
    expect([cam.reduce((a, b) => Math.min(a, b)), cam.reduce((a, b) => Math.max(a, b))]).toEqual([0, 1]);
  });

  it('lies in [0, 1], leaves nothing on the device, and does not depend on the other images of a batch', async () => {
    const network = tinyNetwork(device, tinyState(8));
    const x = random([3, channels, 8, 8], 9, 0, 1);
    const options = { flip: true, eigen: true };
    const before = device.stats.live;
    const all = await on(x, [0, 1, 2], (images, labels) => gradCam(network, network.bn1, images, labels, options));
    expect(device.stats.live).toBe(before);
    expect([Math.min(...all) >= 0, Math.max(...all) <= 1, Math.max(...all) > 0.5]).toEqual([true, true, true]);
    const size = channels * 64;
    for (const [i, target] of [0, 1, 2].entries()) {
      const own = ref([1, channels, 8, 8], x.data.subarray(i * size, (i + 1) * size));
      const alone = await on(own, [target], (images, labels) => gradCam(network, network.bn1, images, labels, options));
      expect(relativeError(alone, all.subarray(i * 64, (i + 1) * 64))).toBeLessThan(1e-4);
    }
    network.dispose();
  });
});

describe('the first principal component', () => {
  it('is that of a singular value decomposition by Jacobi, with the sign of the sum', () => {
    fc.assert(
      fc.property(seeds, between(1, 9), between(2, 20), (seed, count, positions) => {
        const weighted = random([count, positions], seed);
        const rows = Array.from({ length: count }, (_, c) => [...weighted.data.subarray(c * positions, (c + 1) * positions)]);
        const { projection, gap } = principalComponent(rows);
        fc.pre(gap > 0.01);
        const map = principalMap(weighted.data, count);
        const total = projection.map((_, p) => rows.reduce((sum, row) => sum + row[p], 0));
        const agree = total.reduce((sum, value, p) => sum + value * map[p], 0);
        expect(agree).toBeGreaterThanOrEqual(0);
        const sign = Math.sign(map.reduce((sum, value, p) => sum + value * projection[p], 0));
        const expected = projection.map(value => sign * value);
        expect(relativeError(map, expected)).toBeLessThan(1e-5);
      }),
      { numRuns: 200 },
    );
  });

  it('of positions that do not differ is 0', () => {
    expect([...principalMap(Float64Array.of(3, 3, 3, -1, -1, -1), 2)]).toEqual([0, 0, 0]);
    expect([...principalMap(Float64Array.of(2, -5), 2)]).toEqual([0]);
  });
});

describe('saliency', () => {
  it('is the largest |slope| over channels of the logit, by finite differences in float64', async () => {
    await forAll(
      sizes,
      async ({ seed, n, h, w }) => {
        const { state, x, targets } = drawn(seed, n, h, w);
        const network = tinyNetwork(device, state);
        const map = await on(x, targets, (images, labels) => saliency(input => network.forward(input), images, labels));
        network.dispose();
        const logit = (of: Ref) => {
          const { logits } = tiny(state, of);
          return targets.reduce((sum, target, i) => sum + logits.data[i * classes + target], 0);
        };
        // a few pixels of every image: each takes six passes of the reference
        const plane = h * w;
        for (let i = 0; i < n; i++)
          for (const pixel of [0, Math.floor(plane / 2), plane - 1]) {
            const slopes = Array.from({ length: channels }, (_, c) => {
              const direction = ref(x.shape);
              direction.data[(i * channels + c) * plane + pixel] = 1;
              return Math.abs(finiteDifference(logit, x, direction));
            });
            expect(Math.abs(map[i * plane + pixel] - Math.max(...slopes))).toBeLessThan(1e-5);
          }
      },
      15,
    );
  });

  it('is the gradient of float64 at every pixel', async () => {
    const state = tinyState(3);
    const x = random([2, channels, 6, 7], 4, 0, 1);
    const gradient = tiny(state, x).gradients([2, 0]).x;
    const network = tinyNetwork(device, state);
    const map = await on(x, [2, 0], (images, labels) => saliency(input => network.forward(input), images, labels));
    const expected = Array.from(map, (_, i) => {
      const [image, pixel] = [Math.floor(i / 42), i % 42];
      return Math.max(...[0, 1, 2].map(c => Math.abs(gradient.data[(image * channels + c) * 42 + pixel])));
    });
    expect(relativeError(map, expected)).toBeLessThan(1e-5);
    network.dispose();
  });
});
