/** Reductions and matrix products: gradients over random axes and shapes, ties, and PyTorch's numbers. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ref } from '../array.ts';
import { readFixture } from '../fixture.ts';
import { matmul } from '../linalg.ts';
import { distinct, uniform } from '../random.ts';
import * as reduce from '../reduce.ts';
import { expectClose, expectGradient } from './gradient.ts';

const seeds = fc.integer({ min: 0, max: 1e6 });
const fixture = readFixture('operations');

/** A shape, and some of its axes (perhaps counted from the end) or all of them. */
const reductions = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }).chain(shape =>
  fc.record({
    shape: fc.constant(shape),
    axes: fc.option(
      fc.subarray([...shape.keys()]).chain(axes => fc.boolean().map(fromEnd => axes.map(a => (fromEnd ? a - shape.length : a)))),
      {
        nil: undefined,
      },
    ),
    keepdims: fc.boolean(),
  }),
);

describe('reductions', () => {
  const { sum, mean, max, min } = reduce;
  for (const [name, op] of Object.entries({ sum, mean, max, min })) {
    it(`${name}: gradient`, () => {
      fc.assert(
        fc.property(reductions, seeds, ({ shape, ...options }, seed) => {
          expectGradient(
            [distinct(shape, seed)],
            x => op.forward(x, options),
            (g, x) => [op.backward(x, options, g)],
            seed,
          );
        }),
      );
    });
  }
  for (const unbiased of [false, true]) {
    it(`${unbiased ? 'unbiased' : 'biased'} variance: gradient`, () => {
      fc.assert(
        fc.property(reductions, seeds, ({ shape: small, axes, keepdims }, seed) => {
          const shape = small.map(n => n + 1);
          fc.pre(axes === undefined || axes.length > 0);
          const options = { axes, keepdims, unbiased };
          const backward = reduce.variance.backward;
          expectGradient(
            [uniform(shape, seed)],
            x => reduce.variance.forward(x, options),
            (g, x) => [backward(x, options, g)],
            seed,
          );
        }),
      );
    });
  }
  it('variance is as in PyTorch', () => {
    for (const [name, options] of [
      ['variance', { axes: [0, 2], unbiased: true, keepdims: true }],
      ['biased', { axes: [1], unbiased: false }],
    ] as const) {
      const x = fixture.get(`reduce.${name}.in.x`);
      expectClose(reduce.variance.forward(x, options), fixture.get(`reduce.${name}.out`));
      expectClose(reduce.variance.backward(x, options, fixture.get(`reduce.${name}.g`)), fixture.get(`reduce.${name}.grad.x`));
    }
  });
  it('the first of equal values wins', () => {
    const x = ref([2, 3], [1, 5, 5, 2, 2, 2]);
    expect([...reduce.argmax.forward(x, { axes: [1] }).data]).toEqual([1, 0]);
    expect([...reduce.argmax.forward(x).data]).toEqual([1]);
    expect([...reduce.max.backward(x, { axes: [1] }, ref([2], 1)).data]).toEqual([0, 1, 0, 1, 0, 0]);
    expect([...reduce.min.backward(x, { axes: [1] }, ref([2], 1)).data]).toEqual([1, 0, 0, 1, 0, 0]);
  });
  it('keeps or drops reduced axes', () => {
    expect(reduce.sum.forward(ref([2, 3, 4], 1), { axes: [0, -1] }).shape).toEqual([3]);
    expect(reduce.sum.forward(ref([2, 3, 4], 1), { axes: [0, -1], keepdims: true }).shape).toEqual([1, 3, 1]);
    expect(reduce.sum.forward(ref([2, 3, 4], 1)).data[0]).toBe(24);
  });
});

describe('matmul', () => {
  const extents = fc.integer({ min: 1, max: 5 });
  const batches = fc.constantFrom<[number[], number[]]>(
    [[], []],
    [[2], [2]],
    [[2], []],
    [[], [3]],
    [[2, 1], [3]],
    [
      [1, 3],
      [2, 1],
    ],
  );
  it('gradient with every transposition and broadcast batches', () => {
    fc.assert(
      fc.property(
        batches,
        extents,
        extents,
        extents,
        fc.boolean(),
        fc.boolean(),
        seeds,
        ([na, nb], m, k, n, transposeA, transposeB, seed) => {
          const a = uniform([...na, ...(transposeA ? [k, m] : [m, k])], seed);
          const b = uniform([...nb, ...(transposeB ? [n, k] : [k, n])], seed + 1);
          const options = { transposeA, transposeB };
          expectGradient(
            [a, b],
            (x, y) => matmul.forward(x, y, options),
            (g, x, y) => matmul.backward(x, y, options, g),
            seed,
          );
        },
      ),
    );
  });
  it('is as in PyTorch', () => {
    const options = { transposeA: true, transposeB: true };
    const [a, b] = [fixture.get('matmul.in.a'), fixture.get('matmul.in.b')];
    expectClose(matmul.forward(a, b, options), fixture.get('matmul.out'));
    const [da, db] = matmul.backward(a, b, options, fixture.get('matmul.g'));
    expectClose(da, fixture.get('matmul.grad.a'));
    expectClose(db, fixture.get('matmul.grad.b'));
  });
});
