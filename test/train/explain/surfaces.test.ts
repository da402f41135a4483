/** Loss surfaces around an image and in weight space: what their points are, and what stays as it was. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalised, randomSigns } from '../../../src/adv/batch.ts';
import { crossEntropyLoss, fgsm, inputGradient, pgd } from '../../../src/adv/pgd.ts';
import * as F from '../../../src/autograd/index.ts';
import { readState, writeState } from '../../../src/nn/state.ts';
import { Random, Stream } from '../../../src/tensor/philox.ts';
import { scope, type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { inputSurface } from '../../../src/train/explain/input-surface.ts';
import { disposeDirection, filterNormalised, type Pairs, weightSurface } from '../../../src/train/explain/weight-surface.ts';
import { between, forAll, fromRef, random, seeds, testDevice } from '../../engine.ts';
import { type Ref, ref } from '../../reference/array.ts';
import { type TinyState, tiny } from '../../reference/explain.ts';
import { channels, classes, type Tiny, tinyNetwork, tinyState } from './tiny.ts';

const device = await testDevice();
const axis = [-2, -1, 0, 1, 2];
const middle = 12; // of 5x5 points
const eps = 0.1;

/** Mean cross-entropy in float64, from the formula. */
function crossEntropy({ data }: Ref, labels: readonly number[]): number {
  const losses = labels.map((label, i) => {
    const row = [...data.subarray(i * classes, (i + 1) * classes)];
    const most = Math.max(...row);
    return most + Math.log(row.reduce((sum, z) => sum + Math.exp(z - most), 0)) - row[label];
  });
  return losses.reduce((a, b) => a + b) / losses.length;
}

describe('around an image', () => {
  const label = 2;
  const at = (network: Tiny, image: Ref, norm: 'linf' | 'l2' = 'linf', seed = 1, batchSize = 7) => {
    const [x, y] = [fromRef(device, image), tensor(device, [label], [1], 'i32')];
    const forward = (of: Tensor) => network.forward(of);
    const made = inputSurface(forward, x, y, { norm, eps }, axis, new Random(seed, Stream.user, 3), batchSize);
    return made.finally(() => {
      for (const t of [x, y]) t.dispose();
    });
  };

  it('every point is the loss of float64 at the image moved along both directions', async () => {
    await forAll(
      fc.record({ seed: seeds, norm: fc.constantFrom('linf' as const, 'l2' as const), batchSize: between(1, 30) }),
      async ({ seed, norm, batchSize }) => {
        const state = tinyState(seed);
        const network = tinyNetwork(device, state);
        const image = random([1, channels, 6, 6], seed + 1, 0, 1);
        const surface = await at(network, image, norm, seed, batchSize);
        // the directions again, one at a time
        const [x, y] = [fromRef(device, image), tensor(device, [label], [1], 'i32')];
        const g = inputGradient(of => network.forward(of), x, y, crossEntropyLoss);
        const r = randomSigns(device, x.shape, new Random(seed, Stream.user, 3));
        const [u, v] = norm === 'linf' ? [F.sign(g), r] : [normalised(g, 'l2'), normalised(r, 'l2')];
        const [uValues, vValues] = [await u.floats(), await v.floats()];
        for (const t of new Set([x, y, g, r, u, v])) t.dispose();
        network.dispose();
        axis.forEach((b, i) => {
          axis.forEach((a, j) => {
            const moved = image.data.map((value, p) => Math.min(1, Math.max(0, value + eps * (a * uValues[p] + b * vValues[p]))));
            const { logits } = tiny(state, ref(image.shape, moved));
            expect(surface.loss[i * 5 + j]).toBeCloseTo(crossEntropy(logits, [label]), 4);
            const [first, second] = [...logits.data].sort((p, q) => q - p);
            if (first - second > 1e-4) expect(surface.predicted[i * 5 + j]).toBe(logits.data.indexOf(first));
          });
        });
      },
      10,
    );
  });

  it('the centre is the loss of the image to the bit, (1, 0) that of FGSM, and the seed chooses the random direction alone', async () => {
    const network = tinyNetwork(device, tinyState(4));
    const image = random([1, channels, 6, 6], 5, 0, 1);
    const { loss } = await at(network, image);
    const [x, y] = [fromRef(device, image), tensor(device, [label], [1], 'i32')];
    const lossOf = (of: Tensor) => F.noGrad(() => F.crossEntropy(network.forward(of), y)).item();
    expect(loss[middle]).toBe(await lossOf(x));
    expect(loss[middle + 1]).toBeCloseTo(await lossOf(fgsm(of => network.forward(of), x, y, { norm: 'linf', eps })), 5);
    expect((await at(network, image)).loss).toEqual(loss);
    const other = (await at(network, image, 'linf', 2)).loss;
    expect(other.subarray(10, 15)).toEqual(loss.subarray(10, 15)); // b = 0
    expect(other.subarray(0, 5)).not.toEqual(loss.subarray(0, 5));
    for (const t of [x, y]) t.dispose();
    network.dispose();
  });
});

describe('a filter-normalised direction', () => {
  const names = ['conv1.weight', 'conv2.weight', 'linear.weight'];
  /** Length of every filter of [OUT, ...] values. */
  const lengths = (values: ArrayLike<number>, filters: number) => {
    const size = values.length / filters;
    return Array.from({ length: filters }, (_, f) => {
      const filter = Array.from({ length: size }, (_, i) => values[f * size + i]);
      return Math.sqrt(filter.reduce((sum, value) => sum + value * value, 0));
    });
  };

  it('has the length of the weights in every filter, no bias, no batch normalisation, and nothing outside of the mask', async () => {
    await forAll(
      fc.record({ seed: seeds, every: between(2, 5), inFile: fc.boolean() }),
      async ({ seed, every, inFile }) => {
        const state: TinyState = tinyState(seed);
        const masks = new Map(
          names.map(name => {
            const { shape, data } = state[name];
            const filter = data.length / shape[0];
            // the first filter is masked as a whole
            const keep = (_: number, i: number) => (i < filter || (i + seed) % every === 0 ? 0 : 1);
            return [name, { shape, data: Float32Array.from(data, keep) }] as const;
          }),
        );
        const masked = Object.entries(state).map(([name, values]): [string, Ref] => {
          const mask = masks.get(name);
          return [
            name,
            mask
              ? ref(
                  values.shape,
                  values.data.map((w, i) => w * mask.data[i]),
                )
              : values,
          ];
        });
        const network = tinyNetwork(device, Object.fromEntries(masked));
        const direction = filterNormalised(network, inFile ? masks : new Map(), new Random(seed));
        expect([...direction.keys()]).toEqual(names);
        for (const [name, d] of direction) {
          const values = await d.floats();
          const weights = Object.fromEntries(masked)[name];
          const filters = weights.shape[0];
          const [own, wanted] = [lengths(values, filters), lengths(weights.data, filters)];
          own.forEach((length, f) => {
            expect(Math.abs(length - wanted[f])).toBeLessThan(1e-5 * (1 + wanted[f]));
          });
          expect(own[0]).toBe(0);
          expect(values.every((value, i) => masks.get(name)!.data[i] === 1 || value === 0)).toBe(true);
          expect(values.some(value => value !== 0)).toBe(true);
        }
        disposeDirection(direction);
        network.dispose();
      },
      15,
    );
  });

  it('a mask of the file lets an active weight move that is 0 now, and the seed decides the direction', async () => {
    const state = tinyState(1);
    const weight = state['linear.weight'];
    const zeroed = {
      ...state,
      'linear.weight': ref(
        weight.shape,
        weight.data.map((w, i) => (i === 0 ? 0 : w)),
      ),
    };
    const network = tinyNetwork(device, zeroed);
    const ones = new Map([['linear.weight', { shape: weight.shape, data: new Float32Array(weight.data.length).fill(1) }]]);
    const first = async (masks: typeof ones, seed: number) => {
      const direction = filterNormalised(network, masks, new Random(seed));
      const values = await direction.get('linear.weight')!.floats();
      disposeDirection(direction);
      return values;
    };
    expect([(await first(ones, 1))[0] === 0, (await first(new Map(), 1))[0] === 0]).toEqual([false, true]);
    expect(await first(ones, 1)).toEqual(await first(ones, 1));
    expect(await first(ones, 2)).not.toEqual(await first(ones, 1));
    network.dispose();
  });
});

describe('in weight space', () => {
  const labels = [2, 0, 1];
  const images = random([3, channels, 6, 6], 11, 0, 1);
  const attack = { norm: 'linf', eps, stepSize: 0.05, steps: 2, randomInit: false } as const;

  /** The batches of images [from, to), attacked images being the images brightened. */
  const pairs = (...cuts: number[]): Pairs[] =>
    cuts.slice(1).map((to, i) => {
      const from = cuts[i];
      const part = ref([to - from, channels, 6, 6], images.data.subarray(from * channels * 36, to * channels * 36));
      const brighter = ref(
        part.shape,
        part.data.map(value => Math.min(1, value + 0.2)),
      );
      return {
        images: fromRef(device, part),
        adv: fromRef(device, brighter),
        labels: tensor(device, labels.slice(from, to), [to - from], 'i32'),
      };
    });
  const free = (batches: Pairs[]) => {
    for (const t of batches.flatMap(batch => [batch.images, batch.adv, batch.labels])) t.dispose();
  };

  it('every point is the loss of float64 with the weights moved; the weights and the memory are as before', async () => {
    await forAll(
      fc.record({ seed: seeds, cuts: fc.constantFrom([0, 3], [0, 2, 3]) }),
      async ({ seed, cuts }) => {
        const state = tinyState(seed);
        const network = tinyNetwork(device, state);
        const before = await readState(network);
        const draw = new Random(seed);
        const directions = [filterNormalised(network, new Map(), draw), filterNormalised(network, new Map(), draw)] as const;
        const batches = pairs(...cuts);
        const { live } = device.stats;
        const surface = await weightSurface(network, batches, directions, axis);
        expect(device.stats.live).toBe(live);
        expect(await readState(network)).toEqual(before);
        const values: Map<string, Float32Array>[] = [];
        for (const direction of directions)
          values.push(new Map(await Promise.all([...direction].map(async ([name, t]) => [name, await t.floats()] as const))));
        const brighter = ref(
          images.shape,
          images.data.map(value => Math.fround(Math.min(1, value + 0.2))),
        );
        for (const [i, b] of axis.entries())
          for (const [j, a] of axis.entries()) {
            const moved = Object.entries(state).map(([name, w]): [string, Ref] => {
              const [d, e] = values.map(of => of.get(name));
              return [
                name,
                d && e
                  ? ref(
                      w.shape,
                      w.data.map((value, p) => value + a * d[p] + b * e[p]),
                    )
                  : w,
              ];
            });
            const there = Object.fromEntries(moved);
            for (const [found, x] of [
              [surface.clean, images],
              [surface.adv, brighter],
            ] as const) {
              const expected = crossEntropy(tiny(there, x).logits, labels);
              expect(Math.abs(found[i * 5 + j] - expected)).toBeLessThan(1e-4 * (1 + expected));
            }
          }
        for (const direction of directions) disposeDirection(direction);
        free(batches);
        network.dispose();
      },
      6,
    );
  });

  it('the centre is the loss of the network to the bit', async () => {
    const network = tinyNetwork(device, tinyState(21));
    const draw = new Random(1);
    const directions = [filterNormalised(network, new Map(), draw), filterNormalised(network, new Map(), draw)] as const;
    const batches = pairs(0, 3);
    const { clean, adv } = await weightSurface(network, batches, directions, axis);
    const [{ images: x, adv: attacked, labels: y }] = batches;
    const lossOf = async (of: Tensor) => {
      const sum = F.noGrad(() => F.crossEntropy(network.forward(of), y, { reduction: 'sum' }));
      return Math.fround((await sum.item()) / 3);
    };
    expect([clean[middle], adv[middle]]).toEqual([await lossOf(x), await lossOf(attacked)]);
    for (const direction of directions) disposeDirection(direction);
    free(batches);
    network.dispose();
  });

  it('with crafting, every point has the loss on the images attacked for the weights there', async () => {
    const network = tinyNetwork(device, tinyState(22));
    const state = await readState(network);
    const draw = new Random(2);
    const directions = [filterNormalised(network, new Map(), draw), filterNormalised(network, new Map(), draw)] as const;
    const batches = pairs(0, 3);
    const craft = (x: Tensor, y: Tensor) => pgd(of => network.forward(of), x, y, attack, new Random(7));
    const points: number[] = [];
    const { clean, adv } = await weightSurface(network, batches, directions, axis, {
      craft,
      onPoint: (done, total) => points.push(done / total),
    });
    expect([points.length, points.at(-1)]).toEqual([25, 1]);
    const corner = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const [name, { shape, data }] of state) {
      const [d, e] = await Promise.all(directions.map(direction => direction.get(name)?.floats()));
      corner.set(name, { shape, data: d && e ? data.map((w, i) => w + (2 * d[i] + 2 * e[i])) : data });
    }
    writeState(network, corner);
    const [{ images: x, labels: y }] = batches;
    const loss = scope(device, () => {
      const attacked = craft(x, y);
      return F.noGrad(() => F.crossEntropy(network.forward(attacked), y));
    });
    expect(adv[24]).toBeCloseTo(await loss.item(), 4);
    expect(adv.every((value, i) => value > clean[i])).toBe(true);
    for (const direction of directions) disposeDirection(direction);
    free(batches);
    network.dispose();
  });
});
