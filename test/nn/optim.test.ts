/** SGD, learning rates and initialisation: PyTorch's numbers, and exact zeros under a mask. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SparrowError } from '../../src/errors.ts';
import { defaultBound, uniformInit } from '../../src/nn/init.ts';
import { Conv2d, Linear } from '../../src/nn/layers.ts';
import { Parameter } from '../../src/nn/module.ts';
import { Sgd, type SgdOptions } from '../../src/nn/optim.ts';
import { cosine, cyclic, multiStep, type Schedule } from '../../src/nn/schedule.ts';
import { Random } from '../../src/tensor/philox.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, fromRef, random, rounded, seeds, testDevice, toRef } from '../engine.ts';
import { map, type Ref, ref, zip } from '../reference/array.ts';
import { readFixture } from '../reference/fixture.ts';
import * as reference from '../reference/optim.ts';

const device = await testDevice();
const fixture = readFixture('optimisers');

describe('SGD', () => {
  const cases = fixture.meta<SgdOptions[]>('sgd').map((options, i) => ({ options, i }));
  it.each(cases)('is as in PyTorch: $options', async ({ options, i }) => {
    const [gradients, after] = ['gradients', 'after'].map(name => fixture.get(`sgd.${i}.${name}`));
    const w = new Parameter(fromRef(device, fixture.get(`sgd.${i}.weight`)));
    const optimiser = new Sgd(new Map([['w', w]]), options);
    const [steps, size] = gradients.shape;
    for (let step = 0; step < steps; step++) {
      const row = (a: Ref) => ref([size], a.data.subarray(step * size, (step + 1) * size));
      optimiser.step(new Map([['w', fromRef(device, row(gradients))]]));
      checkForward('Sgd', await toRef(w), row(after));
    }
  });

  const options = fc
    .record({
      lr: fc.constantFrom(0.1, 0.5),
      momentum: fc.constantFrom(0, 0.9),
      weightDecay: fc.constantFrom(0, 0.05),
      nesterov: fc.boolean(),
    })
    .filter(o => !o.nesterov || o.momentum > 0); // refused, as by PyTorch

  it('with masks: weights and momentum are exactly 0 there and as without elsewhere; dense momentum ignores the mask', async () => {
    await forAll(
      fc.tuple(between(1, 70), options, seeds),
      async ([size, o, seed]) => {
        const mask = rounded(map(random([size], seed), v => (v > 0 ? 1 : 0)));
        let weight = zip(random([size], seed + 1), mask, (v, m) => v * m);
        const w = new Parameter(fromRef(device, weight));
        const optimiser = new Sgd(new Map([['w', w]]), o);
        optimiser.masks = new Map([['w', fromRef(device, mask)]]);
        optimiser.keepDenseVelocity(['w']);
        let velocity = ref([size]);
        let dense = ref([size]);
        for (let step = 0; step < 3; step++) {
          const g = random([size], seed + 2 + step);
          optimiser.step(new Map([['w', fromRef(device, g)]]));
          dense = reference.sgdStep(weight, g, dense, o).velocity;
          ({ weight, velocity } = reference.sgdStep(weight, g, velocity, o, mask));
          const [foundW, foundV, foundDense] = await Promise.all(
            [w, optimiser.velocity.get('w')!, optimiser.denseVelocity.get('w')!].map(toRef),
          );
          checkForward('Sgd, masked', foundW, weight);
          checkForward('Sgd, masked', foundV, velocity);
          checkForward('Sgd, masked', foundDense, dense);
          for (const found of [foundW, foundV]) {
            expect(found.data.filter((v, i) => mask.data[i] === 0 && v !== 0)).toHaveLength(0);
          }
        }
        optimiser.dispose();
        w.dispose();
      },
      20,
    );
  });

  it('leaves parameters without a gradient alone, and follows setLr', async () => {
    const [a, b] = [new Parameter(fromRef(device, ref([2], [1, 2]))), new Parameter(fromRef(device, ref([2], [3, 4])))];
    const optimiser = new Sgd(
      new Map([
        ['a', a],
        ['b', b],
      ]),
      { lr: 0.5, weightDecay: 0.5 },
    );
    const g = fromRef(device, ref([2], [1, 1]));
    optimiser.setLr(0.25);
    optimiser.step(new Map([['a', g]]));
    expect([...(await a.data())]).toEqual([0.625, 1.5]);
    expect([...(await b.data())]).toEqual([3, 4]);
  });

  it.each<[string, SgdOptions]>([
    ['lr NaN', { lr: Number.NaN }],
    ['lr -0.1', { lr: -0.1 }],
    ['momentum -1', { lr: 0.1, momentum: -1 }],
    ['weightDecay NaN', { lr: 0.1, weightDecay: Number.NaN }],
    ['nesterov needs a momentum above 0', { lr: 0.1, nesterov: true }],
  ])('refuses numbers that PyTorch refuses: %s', (message, o) => {
    const w = new Parameter(fromRef(device, ref([2])));
    const before = device.stats.live;
    expect(() => new Sgd(new Map([['w', w]]), o)).toThrow(SparrowError);
    expect(() => new Sgd(new Map([['w', w]]), o)).toThrow(`Sgd: ${message}`);
    expect(device.stats.live).toBe(before);
    w.dispose();
  });

  it('refuses no parameters, names that are none of them, gradients of other shapes, and a later rate that is no rate', async () => {
    expect(() => new Sgd(new Map(), { lr: 0.1 })).toThrow('Sgd: no parameters');
    const [a, b] = [new Parameter(fromRef(device, ref([2, 1], 1))), new Parameter(fromRef(device, ref([2], 1)))];
    const parameters = new Map([
      ['a', a],
      ['b', b],
    ]);
    const optimiser = new Sgd(parameters, { lr: 0.1 });
    const gradient = (...shape: number[]) => fromRef(device, ref(shape, 1));
    const step = (...gradients: [string, Tensor][]) => optimiser.step(new Map(gradients));
    expect(() => step(['a', gradient(2, 1)], ['c', gradient(2)])).toThrow('Sgd: c is no parameter of this optimiser');
    expect(() => step(['a', gradient(2, 1)], ['b', gradient(3)])).toThrow('Sgd: b is [2], and its gradient [3]');
    expect(() => step(['a', gradient(2)])).toThrow('Sgd: a is [2,1], and its gradient [2]');
    expect(() => optimiser.keepDenseVelocity(['c'])).toThrow('Sgd: c is no parameter');
    expect(() => optimiser.setLr(Number.NaN)).toThrow('Sgd: lr NaN');
    expect(() => step(['a', gradient(2, 1)], ['b', gradient(3)])).toThrow(SparrowError);
    expect([...(await a.data()), ...(await b.data())]).toEqual([1, 1, 1, 1]);
  });

  it('gives its memory back', () => {
    const w = new Parameter(fromRef(device, ref([300], 1)));
    const before = device.stats.live;
    const optimiser = new Sgd(new Map([['w', w]]), { lr: 0.1 });
    optimiser.keepDenseVelocity(['w']);
    expect(device.stats.live).toBeGreaterThan(before);
    optimiser.dispose();
    expect(device.stats.live).toBe(before);
  });
});

describe('learning rates are as in PyTorch', () => {
  const rows: [string, Schedule, (i: number) => number][] = [
    ['multistep', multiStep(0.1, [3, 6]), i => i],
    ['cosine', cosine(0.1, 12, 0.001), i => i],
    ['cyclic', cyclic(0.2, 5), i => i / 4],
  ];
  it.each(rows)('%s', (name, schedule, epoch) => {
    const expected = fixture.get(name);
    checkForward(
      name,
      ref(
        expected.shape,
        Array.from(expected.data, (_, i) => schedule(epoch(i))),
      ),
      expected,
      1e-12,
    );
  });

  it('agree with their formulas at any time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.double({ min: 0, max: 1, noNaN: true }), (epochs, part) => {
        const time = part * epochs;
        expect(cyclic(0.2, epochs)(time)).toBeCloseTo(reference.cyclic(0.2, epochs, time), 12);
        expect(cosine(0.1, epochs)(time)).toBeCloseTo(reference.cosine(0.1, time, epochs), 12);
        expect(multiStep(0.1, [100, 150])(time)).toBe(reference.multiStep(0.1, [100, 150], time));
      }),
    );
  });

  it('after their end: 0 for the cyclic one, the floor for the cosine', () => {
    expect(cyclic(0.2, 10)(10.5)).toBe(0);
    expect(cosine(0.1, 10, 0.01)(12)).toBeCloseTo(0.01, 12);
    expect(multiStep(0.1, [100, 150])(200)).toBeCloseTo(0.001, 12);
  });
});

describe("initialisation is PyTorch's default", () => {
  type Row = { layer: string; part: string; weightShape: number[]; min: number; max: number; std: number; count: number };
  it.each(fixtureRows())('$layer $part: range, mean and deviation', async ({ weightShape, min, max, std, count }) => {
    const bound = defaultBound(weightShape);
    const values = await uniformInit(device, [count], bound, new Random(3)).floats();
    const mean = values.reduce((a, b) => a + b, 0) / count;
    const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / count);
    for (const [own, theirs] of [
      [values.reduce((a, b) => Math.min(a, b)), min],
      [values.reduce((a, b) => Math.max(a, b)), max],
    ]) {
      expect(Math.abs(own)).toBeLessThanOrEqual(bound);
      expect(Math.abs(own - theirs)).toBeLessThan((20 * bound) / count);
    }
    expect(Math.abs(mean)).toBeLessThan((5 * bound) / Math.sqrt(3 * count));
    expect(Math.abs(deviation / std - 1)).toBeLessThan(5 / Math.sqrt(count));
  });

  it('with the fan-in of a layer: its own for groups, and for the bias that of the weight', async () => {
    const maker = { device, random: new Random(4) };
    const largest = async (t: Parameter) => (await t.floats()).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const grouped = new Conv2d(maker, 64, 512, 3, { groups: 2 });
    const linear = new Linear(maker, 20, 2000);
    const rows: [Parameter, number][] = [
      [grouped.weight, 32 * 9],
      [grouped.bias!, 32 * 9],
      [linear.weight, 20],
      [linear.bias!, 20],
    ];
    for (const [t, fanIn] of rows) {
      const ratio = (await largest(t)) * Math.sqrt(fanIn);
      expect(ratio).toBeLessThanOrEqual(1 + 1e-7);
      expect(ratio).toBeGreaterThan(1 - 20 / t.size);
    }
  });

  function fixtureRows(): Row[] {
    return readFixture('initialisation').meta<Row[]>('rows');
  }
});
