/** Optimiser, schedules, initialisation and attack steps: PyTorch's numbers and the rules' invariants. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { map, type Ref, ref, zip } from '../array.ts';
import * as attack from '../attack.ts';
import { norm } from '../finite.ts';
import { readFixture } from '../fixture.ts';
import { defaultBound } from '../init.ts';
import * as optim from '../optim.ts';
import { uniform } from '../random.ts';
import { expectClose } from './gradient.ts';

const fixture = readFixture('optimisers');

describe('SGD', () => {
  const cases = fixture.meta<optim.SgdOptions[]>('sgd');
  expect(cases).toHaveLength(3);
  cases.forEach((options, i) => {
    it(`is as in PyTorch: ${JSON.stringify(options)}`, () => {
      const gradients = fixture.get(`sgd.${i}.gradients`);
      const after = fixture.get(`sgd.${i}.after`);
      let weight = fixture.get(`sgd.${i}.weight`);
      let velocity = ref(weight.shape);
      const [steps, size] = gradients.shape;
      for (let step = 0; step < steps; step++) {
        const row = (a: { data: Float64Array }) => ref([size], a.data.subarray(step * size, (step + 1) * size));
        ({ weight, velocity } = optim.sgdStep(weight, row(gradients), velocity, options));
        expectClose(weight, row(after));
      }
    });
  });
  it('a mask holds weight and velocity at 0 and changes nothing else', () => {
    const mask = ref([6], [1, 0, 1, 0, 0, 1]);
    const masked = (a: Ref) => zip(a, mask, (value, m) => (m === 1 ? value : 0));
    const [weight, gradient, velocity] = [1, 2, 3].map(seed => masked(uniform([6], seed)));
    const options = { lr: 0.1, momentum: 0.9, weightDecay: 0.01, nesterov: true };
    const withMask = optim.sgdStep(weight, uniform([6], 2), velocity, options, mask);
    expect(withMask).toEqual(optim.sgdStep(weight, gradient, velocity, options));
    expect([withMask.weight.data[1], withMask.velocity.data[3]]).toEqual([0, 0]);
  });
});

describe('schedules are as in PyTorch', () => {
  it('multistep', () => {
    const rates = fixture.get('multistep');
    expectClose(
      ref(
        rates.shape,
        Array.from(rates.data, (_, epoch) => optim.multiStep(0.1, [3, 6], epoch)),
      ),
      rates,
    );
  });
  it('cosine', () => {
    const rates = fixture.get('cosine');
    expectClose(
      ref(
        rates.shape,
        Array.from(rates.data, (_, epoch) => optim.cosine(0.1, epoch, 12, 0.001)),
      ),
      rates,
    );
  });
  it('cyclic', () => {
    const rates = fixture.get('cyclic');
    expectClose(
      ref(
        rates.shape,
        Array.from(rates.data, (_, quarter) => optim.cyclic(0.2, 5, quarter / 4)),
      ),
      rates,
    );
  });
});

describe('default initialisation', () => {
  type Row = {
    layer: string;
    part: string;
    weightShape: number[];
    min: number;
    max: number;
    mean: number;
    std: number;
    count: number;
  };
  it.each(readFixture('initialisation').meta<Row[]>('rows'))(
    '$layer $part fills (-b, b) evenly',
    ({ weightShape, min, max, mean, std, count }) => {
      const bound = defaultBound(weightShape);
      expect(Math.max(-min, max)).toBeLessThanOrEqual(bound);
      expect(Math.min(-min, max)).toBeGreaterThan(bound * (1 - 20 / count));
      expect(Math.abs(mean)).toBeLessThan((4 * bound) / Math.sqrt(3 * count));
      expect(std / (bound / Math.sqrt(3))).toBeCloseTo(1, 1);
    },
  );
});

describe('attack steps', () => {
  const seeds = fc.integer({ min: 0, max: 1e6 });
  const shape = [2, 3, 2, 2];
  const inBox = (x: Ref, d: Ref) => zip(x, d, (a, b) => a + b).data.every(v => v >= -1e-15 && v <= 1 + 1e-15);
  const sampleNorms = (d: Ref) => [0, 1].map(n => norm(d.data.subarray(n * 12, (n + 1) * 12)));

  it('Linf stays in ball and box, and moves by alpha where nothing clips', () => {
    fc.assert(
      fc.property(seeds, fc.double({ min: 0.01, max: 0.5, noNaN: true }), (seed, eps) => {
        const x = uniform(shape, seed, 0, 1);
        const start = attack.linfStart(x, uniform(shape, seed + 1), eps);
        const next = attack.linfStep(x, start, uniform(shape, seed + 2), eps / 4, eps);
        for (const d of [start, next]) {
          expect(inBox(x, d)).toBe(true);
          expect(Math.max(...d.data.map(Math.abs))).toBeLessThanOrEqual(eps + 1e-15);
        }
      }),
    );
    const moved = attack.linfStep(ref([1, 3], 0.5), ref([1, 3], [0, 0, 0.09]), ref([1, 3], [2, 0, 1e-9]), 0.02, 0.1);
    expectClose(moved, ref([1, 3], [0.02, 0, 0.1]));
  });
  it('FGSM moves every pixel with a gradient by eps, up to the box', () => {
    expectClose(
      attack.fgsm(ref([1, 4], [0.5, 0.5, 0.5, 0.98]), ref([1, 4], [3, -1e-6, 0, 1]), 0.05),
      ref([1, 4], [0.05, -0.05, 0, 0.02]),
    );
  });
  it('L2 stays in ball and box, and a zero gradient moves nothing', () => {
    fc.assert(
      fc.property(seeds, fc.double({ min: 0.05, max: 2, noNaN: true }), (seed, eps) => {
        const x = uniform(shape, seed, 0, 1);
        const start = attack.l2Start(x, uniform(shape, seed + 1, 0, 1), eps);
        const next = attack.l2Step(x, start, uniform(shape, seed + 2), eps / 4, eps);
        for (const d of [start, next]) {
          expect(inBox(x, d)).toBe(true);
          expect(Math.max(...sampleNorms(d))).toBeLessThanOrEqual(eps * (1 + 1e-12));
        }
        expectClose(attack.l2Step(x, start, ref(shape, 0), eps / 4, eps), start);
      }),
    );
  });
  it('an L2 step has length alpha in each sample, whatever the size of the gradient', () => {
    const x = ref(shape, 0.5);
    const g = map(uniform(shape, 1), value => value * 1e-3);
    for (const length of sampleNorms(attack.l2Step(x, ref(shape, 0), g, 0.1, 1))) expect(length).toBeCloseTo(0.1, 12);
  });
});
