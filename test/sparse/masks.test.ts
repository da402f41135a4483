/** Masks of random networks on the device, drawn and updated, against the float64 rules written separately: every bit is decided. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Conv2d, Linear, Sequential } from '../../src/nn/layers.ts';
import { initialisers, keptCount, layerDensities } from '../../src/sparse/densities/index.ts';
import { type Growth, Masks, maskedParameters } from '../../src/sparse/masks.ts';
import { Random, Stream } from '../../src/tensor/philox.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { between, forAll, fromRef, random, rounded, seeds, testDevice, toRef } from '../engine.ts';
import { map, type Ref, ref, zip } from '../reference/array.ts';
import { flyingBirdUpdate } from '../reference/sparse.ts';

const device = await testDevice();
const nnz = (mask: Ref) => mask.data.reduce((n, m) => n + m, 0);

/** Sizes of layers: [OUT, IN, K, K] or [OUT, IN]. */
const convolution = fc.tuple(between(1, 9), between(1, 9), fc.constantFrom(1, 3)).map(([o, i, k]) => [o, i, k, k]);
const networks = fc.array(fc.oneof(convolution, fc.tuple(between(1, 20), between(1, 40))), { minLength: 1, maxLength: 4 });

/** A model that is never run: its parameters, biases among them, are all that masks look at. */
function modelOf(shapes: readonly number[][]): Sequential {
  const make = { device, random: new Random(1) };
  return new Sequential(...shapes.map(([o, i, k]) => (k ? new Conv2d(make, i, o, k) : new Linear(make, i, o))));
}

describe('the initial mask', () => {
  it('leaves out exactly int((1 - density) n) weights of each layer at random, and zeroes these alone', async () => {
    const densities = fc.double({ min: 0.02, max: 1, noNaN: true });
    await forAll(fc.tuple(networks, densities, fc.constantFrom(...initialisers), seeds), async ([shapes, density, how, seed]) => {
      const model = modelOf(shapes);
      const before = new Map<string, Ref>();
      for (const [name, p] of model.parameters()) before.set(name, await toRef(p));
      const masks = new Masks(model, seed);
      masks.initialise(density, how);
      const wanted = layerDensities(masks.layers, density, how);
      expect(masks.layers.map(l => [...l.shape])).toEqual(shapes);
      for (const [l, { name, size }] of masks.layers.entries()) {
        const mask = await toRef(masks.masks.get(name)!);
        expect(nnz(mask)).toBe(keptCount(size, wanted[l]));
        expect(masks.nnz(name)).toBe(nnz(mask));
        expect(await toRef(masks.fired.get(name)!)).toEqual(mask);
      }
      for (const [name, p] of model.parameters()) {
        const mask = masks.masks.has(name) ? await toRef(masks.masks.get(name)!) : ref(p.shape, 1);
        const now = await toRef(p);
        now.data.forEach((w, i) => {
          expect(w === (mask.data[i] ? before.get(name)!.data[i] : 0)).toBe(true);
        });
      }
      masks.dispose();
      model.dispose();
    });
  });

  it('differs from seed to seed and is the same for one', async () => {
    const drawn = async (seed: number) => {
      const model = modelOf([[40, 50]]);
      const masks = new Masks(model, seed);
      masks.initialise(0.5, 'uniform');
      const mask = await toRef(masks.masks.get('0.weight')!);
      masks.dispose();
      model.dispose();
      return mask.data.join('');
    };
    const [a, again, b] = [await drawn(1), await drawn(1), await drawn(2)];
    expect(a).toBe(again);
    expect(a).not.toBe(b);
  });
});

describe('updates of Flying Bird and Flying Bird+', () => {
  const rates = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0.005, max: 0.5, noNaN: true }));
  const update = fc.record({
    rate: rates,
    decisions: fc.record({ prune: fc.boolean(), grow: fc.boolean() }),
    pruneRatio: fc.constantFrom(0, 0.4, 1),
    growthRatio: fc.constantFrom(0, 0.05, 0.5),
  });
  /** Values with many equal ones among them, zeros too, or all different. */
  const values = (shape: readonly number[], seed: number, coarse: boolean) =>
    rounded(map(random(shape, seed), v => (coarse ? Math.round(3 * v) / 4 : v)));

  const example = fc.record({
    shapes: networks,
    density: fc.double({ min: 0.05, max: 1, noNaN: true }),
    how: fc.constantFrom(...initialisers),
    updates: fc.array(update, { minLength: 1, maxLength: 3 }),
    coarse: fc.boolean(),
    seed: seeds,
  });

  it.each<Growth>(['random', 'gradient', 'momentum'])(
    'growing by %s: the masks, weights and momentum of the rules',
    async growth => {
      await forAll(
        example,
        async ({ shapes, density, how, updates, coarse, seed }) => {
          const model = modelOf(shapes);
          const weights = maskedParameters(model);
          const masks = new Masks(model, seed);
          masks.initialise(density, how);
          const start = new Map<string, Ref>();
          for (const [name, mask] of masks.masks) start.set(name, await toRef(mask));
          const momentum = new Map<string, Tensor>();
          for (const [name, p] of weights) momentum.set(name, fromRef(device, ref(p.shape)));
          for (const [u, options] of updates.entries()) {
            // as training leaves them: nothing outside of the mask
            const before = new Map<string, { weight: Ref; velocity: Ref; mask: Ref; fired: Ref; score: Ref }>();
            const draws = new Random(seed, Stream.mask, masks.draw);
            for (const [l, [name, p]] of [...weights].entries()) {
              const mask = await toRef(masks.masks.get(name)!);
              const inMask = (s: number) => zip(values(p.shape, s, coarse), mask, (v, m) => v * m);
              const [weight, velocity] = [inMask(seed + 10 * u + l), inMask(seed + 10 * u + l + 1)];
              p.write(weight.data);
              momentum.get(name)!.write(velocity.data);
              const dense = nnz(mask) === p.size;
              const drawn = growth === 'random' && !dense && Math.ceil(options.rate * nnz(mask)) > 0;
              const score = drawn ? ref(p.shape, draws.uniform(p.size)) : values(p.shape, seed + 10 * u + l + 2, coarse);
              before.set(name, { weight, velocity, mask, fired: await toRef(masks.fired.get(name)!), score });
            }
            const scores = new Map([...before].map(([name, b]) => [name, fromRef(device, b.score)]));
            await masks.update({ ...options, growth }, { gradient: scores, momentum: scores }, momentum);
            for (const [name, { weight, velocity, mask, fired, score }] of before) {
              const expected = flyingBirdUpdate(weight, velocity, mask, score, { ...options, r: options.rate });
              const found = await toRef(masks.masks.get(name)!);
              expect(found, `mask of ${name}`).toEqual(expected.mask);
              expect(masks.nnz(name)).toBe(nnz(found));
              const { prune, grow } = options.decisions;
              if (!prune && !grow) expect(nnz(found)).toBe(nnz(mask));
              equal(await toRef(weights.get(name)!), expected.weight);
              equal(await toRef(momentum.get(name)!), expected.velocity);
              expect(await toRef(masks.fired.get(name)!)).toEqual(zip(fired, found, Math.max));
            }
            for (const t of scores.values()) t.dispose();
          }
          let differing = 0;
          for (const [name, mask] of start)
            differing += nnz(zip(mask, await toRef(masks.masks.get(name)!), (a, b) => Number(a !== b)));
          expect(await masks.distance()).toBeCloseTo(differing / masks.layers.reduce((n, l) => n + l.size, 0), 6);
          expect(await masks.distance()).toBe(0);
          for (const t of momentum.values()) t.dispose();
          masks.dispose();
          model.dispose();
        },
        40,
      );
    },
  );

  /** The same numbers, where 0 and -0 are one. */
  function equal(found: Ref, expected: Ref): void {
    expect(found.data.findIndex((v, i) => v !== expected.data[i])).toBe(-1);
  }

  it('keeps the largest magnitudes and drops the others: nothing is inactive that was larger than what stayed', async () => {
    await forAll(fc.tuple(between(2, 300), rates, seeds), async ([size, rate, seed]) => {
      const model = modelOf([[size, 3]]);
      const masks = new Masks(model, seed);
      masks.initialise(0.4, 'uniform'); // more are inactive than an update drops
      const [w] = maskedParameters(model).values();
      const [before, mask] = [await toRef(w), await toRef(masks.masks.get('0.weight')!)];
      // scores that want only what was inactive before: no weight comes back
      const score = fromRef(
        device,
        map(mask, m => 1 - m),
      );
      const decisions = { prune: false, grow: false };
      await masks.update(
        { rate: Math.min(rate, 0.8), growth: 'gradient', decisions, pruneRatio: 0, growthRatio: 0 },
        { gradient: new Map([['0.weight', score]]) },
      );
      const after = await toRef(masks.masks.get('0.weight')!);
      const sizes = (stays: 0 | 1) =>
        [...before.data.keys()].filter(i => mask.data[i] && after.data[i] === stays).map(i => Math.abs(before.data[i]));
      const [kept, dropped] = [sizes(1), sizes(0)];
      expect(kept.length + dropped.length).toBe(nnz(mask));
      expect(Math.min(...kept)).toBeGreaterThanOrEqual(Math.max(...dropped));
      expect([...(await toRef(w)).data].every((v, i) => v === before.data[i] || (v === 0 && after.data[i] === 0))).toBe(true);
      score.dispose();
      masks.dispose();
      model.dispose();
    });
  });

  it('needs scores for growth by gradient and by momentum, and the gradient for death by connection sensitivity', async () => {
    const model = modelOf([[8, 8]]);
    const masks = new Masks(model, 1);
    masks.initialise(0.5, 'uniform');
    const decisions = { prune: false, grow: false };
    const bare = { rate: 0.5, growth: 'gradient', decisions, pruneRatio: 0.4, growthRatio: 0.05 } as const;
    await expect(masks.update(bare)).rejects.toThrow('growth by gradient needs a score for 0.weight');
    const sensitive = masks.update({ ...bare, growth: 'random', death: 'CS_death' });
    await expect(sensitive).rejects.toThrow('death by CS_death needs the gradient of 0.weight');
    masks.dispose();
    model.dispose();
  });
});
