/** Every rule of a mask update, in every combination, on random networks against float64 rules written separately. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Conv2d, Linear, Sequential } from '../../src/nn/layers.ts';
import { apportion } from '../../src/sparse/apportion.ts';
import { Masks, maskedParameters } from '../../src/sparse/masks.ts';
import { Random } from '../../src/tensor/philox.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { between, forAll, fromRef, random, seeds, testDevice, toRef } from '../engine.ts';
import { map, type Ref, zip } from '../reference/array.ts';
import { type Layer, type Rules, shareOut, updateNetwork } from '../reference/sparse-rules.ts';

const device = await testDevice();

const convolution = fc.tuple(between(1, 7), between(1, 7), fc.constantFrom(1, 3)).map(([o, i, k]) => [o, i, k, k]);
const networks = fc.array(fc.oneof(convolution, fc.tuple(between(1, 16), between(1, 24))), { minLength: 1, maxLength: 4 });

function modelOf(shapes: readonly number[][]): Sequential {
  const make = { device, random: new Random(1) };
  return new Sequential(...shapes.map(([o, i, k]) => (k ? new Conv2d(make, i, o, k) : new Linear(make, i, o))));
}

/** Quarters: many are equal or 0, and float32 adds them up exactly. */
const quarters = (shape: readonly number[], seed: number) => map(random(shape, seed), v => Math.round(6 * v) / 4);

const rules = fc.record<Rules>({
  r: fc.constantFrom(0, 0.1, 0.3, 0.5),
  death: fc.constantFrom('magnitude', 'SET', 'threshold', 'CS_death'),
  threshold: fc.constantFrom(0, 0.3, 1),
  growth: fc.constantFrom('gradient', 'momentum_neuron'),
  redistribution: fc.constantFrom('none', 'momentum', 'magnitude', 'nonzeros'),
  prune: fc.boolean(),
  grow: fc.boolean(),
  pruneRatio: fc.constantFrom(0, 0.4, 1),
  growthRatio: fc.constantFrom(0, 0.05, 0.5),
});

describe('an update by any rules', () => {
  it('makes the masks of the reference; the total stays, what is outside is 0, what stays keeps its value', async () => {
    const example = fc.tuple(networks, fc.constantFrom(0.2, 0.5, 0.9), rules, seeds);
    await forAll(
      example,
      async ([shapes, density, rule, seed]) => {
        const model = modelOf(shapes);
        const weights = maskedParameters(model);
        const masks = new Masks(model, seed);
        masks.initialise(density, 'uniform');
        const layers: Layer[] = [];
        const tensors = () => new Map<string, Tensor>();
        const [scores, gradients, momentum] = [tensors(), tensors(), tensors()];
        for (const [l, [name, p]] of [...weights].entries()) {
          const mask = await toRef(masks.masks.get(name)!);
          const inMask = (values: Ref) => zip(values, mask, (v, m) => v * m);
          const layer = {
            weight: inMask(quarters(p.shape, seed + 3 * l)),
            velocity: inMask(quarters(p.shape, seed + 3 * l + 1)),
            mask,
            score: quarters(p.shape, seed + 3 * l + 2),
            gradient: quarters(p.shape, seed + 3 * l + 100),
          };
          layers.push(layer);
          p.write(layer.weight.data);
          scores.set(name, fromRef(device, layer.score));
          gradients.set(name, fromRef(device, layer.gradient));
          momentum.set(name, fromRef(device, layer.velocity));
        }
        const { r, threshold, prune, grow, ...rest } = rule;
        const options = { ...rest, rate: r, deathThreshold: threshold, decisions: { prune, grow } };
        await masks.update(options, { gradient: gradients, momentum: scores }, momentum);
        const expected = updateNetwork(layers, rule);
        let [before, after] = [0, 0];
        for (const [l, [name, p]] of [...weights].entries()) {
          const [mask, weight, v] = [await toRef(masks.masks.get(name)!), await toRef(p), await toRef(momentum.get(name)!)];
          expect(mask, name).toEqual(expected[l]);
          const nnz = (m: Ref) => m.data.reduce((a, b) => a + b, 0);
          expect(masks.nnz(name)).toBe(nnz(mask));
          before += nnz(layers[l].mask);
          after += nnz(mask);
          const kept = (was: Ref) => was.data.map((value, i) => value * mask.data[i]);
          expect(weight.data.every((w, i) => w === kept(layers[l].weight)[i])).toBe(true);
          expect(v.data.every((w, i) => w === kept(layers[l].velocity)[i])).toBe(true);
        }
        if (!prune && !grow) expect(after).toBe(before);
        for (const t of [...scores.values(), ...gradients.values(), ...momentum.values()]) t.dispose();
        masks.dispose();
        model.dispose();
      },
      60,
    );
  });
});

it('redistribution leaves no layer without a weight, though its share is 0', async () => {
  const model = modelOf([
    [2, 3],
    [4, 5],
  ]);
  const masks = new Masks(model, 1);
  masks.initialise(0.3, 'uniform'); // 2 of 6, 6 of 20
  const [small, large] = [...maskedParameters(model).values()];
  small.write(new Float32Array(6)); // of magnitude 0
  large.write(await masks.masks.get('1.weight')!.floats());
  const options = { growth: 'random', redistribution: 'magnitude', decisions: { prune: false, grow: false } } as const;
  await masks.update({ ...options, rate: 1, pruneRatio: 0, growthRatio: 0 });
  expect([masks.nnz('0.weight'), masks.nnz('1.weight')]).toEqual([1, 7]);
  masks.dispose();
  model.dispose();
});

it('apportion gives whole numbers in proportion, with the exact sum and within the caps', () => {
  const parties = fc.array(fc.tuple(fc.oneof(fc.constant(0), between(0, 50)), between(0, 40)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(parties, between(0, 200), (list, total) => {
      const [shares, caps] = [list.map(p => p[0]), list.map(p => p[1])];
      const found = apportion(total, shares, caps);
      const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
      expect(sum(found)).toBe(Math.min(total, sum(caps)));
      expect(found.every((n, i) => Number.isInteger(n) && n >= 0 && n <= caps[i])).toBe(true);
      expect(found).toEqual(shareOut(total, shares, caps));
    }),
    { numRuns: 500 },
  );
});
