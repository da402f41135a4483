/** Elementwise references: gradients, broadcasting, values on the kinks, and PyTorch's numbers. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { map, type Ref, ref } from '../array.ts';
import * as elementwise from '../elementwise.ts';
import { readFixture } from '../fixture.ts';
import { distinct, uniform } from '../random.ts';
import { expectClose, expectGradient } from './gradient.ts';

const { neg, exp, log, sqrt, rsqrt, abs, sign, relu, tanh, sigmoid } = elementwise;
const { add, sub, mul, div, max, min, pow } = elementwise;
const unary = { neg, exp, log, sqrt, rsqrt, abs, sign, relu, tanh, sigmoid };
const binary = { add, sub, mul, div, max, min, pow };

const seeds = fc.integer({ min: 0, max: 1e6 });
const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 });

/** Two shapes that broadcast: of a common one, leading axes are cut and some extents are 1. */
const shapePairs = fc
  .tuple(shapes, fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 4, maxLength: 4 }), fc.nat(4), fc.nat(4))
  .map(([shape, stretch, cutA, cutB]) => [
    shape.map((n, axis) => (stretch[axis] === 1 ? 1 : n)).slice(Math.min(cutA, shape.length)),
    shape.map((n, axis) => (stretch[axis] === 2 ? 1 : n)).slice(Math.min(cutB, shape.length)),
  ]);

const fixture = readFixture('operations');

describe('unary operations', () => {
  for (const [name, op] of Object.entries(unary)) {
    const positive = ['log', 'sqrt', 'rsqrt'].includes(name);
    it(`${name}: gradient`, () => {
      fc.assert(
        fc.property(shapes, seeds, (shape, seed) => {
          const x = positive ? uniform(shape, seed, 0.2, 2) : distinct(shape, seed);
          expectGradient([x], op.forward, (g, input) => [op.backward(input, g)], seed);
        }),
      );
    });
    it(`${name}: as PyTorch`, () => {
      const x = fixture.get(`unary.${name}.in.x`);
      expectClose(op.forward(x), fixture.get(`unary.${name}.out`));
      expectClose(op.backward(x, fixture.get(`unary.${name}.g`)), fixture.get(`unary.${name}.grad.x`));
    });
  }
});

describe('binary operations', () => {
  for (const [name, op] of Object.entries(binary)) {
    it(`${name}: gradient with broadcasting`, () => {
      fc.assert(
        fc.property(shapePairs, seeds, ([shapeA, shapeB], seed) => {
          const inputs = ['max', 'min'].includes(name)
            ? [distinct(shapeA, seed), map(distinct(shapeB, seed + 7), value => value + 0.003)]
            : [uniform(shapeA, seed, 0.5, 2), uniform(shapeB, seed + 7, 0.5, 2)];
          expectGradient(inputs, op.forward, (g, a, b) => op.backward(a, b, g), seed);
        }),
      );
    });
    it(`${name}: as PyTorch`, () => {
      const [a, b] = [fixture.get(`binary.${name}.in.a`), fixture.get(`binary.${name}.in.b`)];
      expectClose(op.forward(a, b), fixture.get(`binary.${name}.out`));
      const [da, db] = op.backward(a, b, fixture.get(`binary.${name}.g`));
      expectClose(da, fixture.get(`binary.${name}.grad.a`));
      expectClose(db, fixture.get(`binary.${name}.grad.b`));
    });
  }
});

describe('kinks', () => {
  const zero = ref([3], [-1, 0, 1]);
  const one = ref([3], 1);
  it('sign(0) = 0, relu has no gradient at 0, abs neither', () => {
    expect([...sign.forward(zero).data]).toEqual([-1, 0, 1]);
    expect([...relu.backward(zero, one).data]).toEqual([0, 0, 1]);
    expect([...abs.backward(zero, one).data]).toEqual([-1, 0, 1]);
  });
  it('clamp passes the gradient on its bounds', () => {
    expect([...elementwise.clamp.forward(ref([4], [-2, -1, 0.5, 3]), -1, 1).data]).toEqual([-1, -1, 0.5, 1]);
    expect([...elementwise.clamp.backward(ref([4], [-2, -1, 1, 3]), -1, 1, ref([4], 1)).data]).toEqual([0, 1, 1, 0]);
  });
  it('max and min share between equal values', () => {
    const [da, db] = max.backward(ref([2], [1, 2]), ref([2], [1, 1]), ref([2], 1));
    expect([[...da.data], [...db.data]]).toEqual([
      [0.5, 1],
      [0.5, 0],
    ]);
  });
});

describe('clamp, where and comparisons', () => {
  it('clamp: gradient', () => {
    fc.assert(
      fc.property(shapes, seeds, (shape, seed) => {
        const forward = (x: Ref) => elementwise.clamp.forward(x, -0.155, 0.245);
        expectGradient([distinct(shape, seed)], forward, (g, x) => [elementwise.clamp.backward(x, -0.155, 0.245, g)], seed);
      }),
    );
  });
  it('where: gradient with broadcasting', () => {
    fc.assert(
      fc.property(shapePairs, shapes, seeds, ([shapeA, shapeB], tail, seed) => {
        const shape = elementwise.broadcastShape(shapeA, shapeB);
        const condition = map(uniform(tail.length % 2 ? shape : shape.slice(1), seed), value => (value > 0 ? 1 : 0));
        const inputs = [uniform(shapeA, seed + 1), uniform(shapeB, seed + 2)];
        const backward = (g: Ref, a: Ref, b: Ref) => elementwise.where.backward(condition, a, b, g);
        expectGradient(inputs, (a, b) => elementwise.where.forward(condition, a, b), backward, seed);
      }),
    );
  });
  it('comparisons give 0 and 1', () => {
    const [a, b] = [ref([3], [1, 2, 3]), ref([], [2])];
    const { eq, ne, lt, le, gt, ge } = elementwise;
    expect([eq, ne, lt, le, gt, ge].map(op => op.forward(a, b).data.join(''))).toEqual([
      '010',
      '101',
      '100',
      '110',
      '001',
      '011',
    ]);
  });
  it('shapes that do not broadcast are refused', () => {
    expect(() => add.forward(ref([2, 3]), ref([2]))).toThrow(/do not broadcast/);
  });
});
