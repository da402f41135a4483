/** Elementwise operations and broadcasting against the float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Elementwise, expressions } from '../../src/kernels/elementwise.ts';
import { add, broadcastShape, div, elementwise, mul, sub } from '../../src/tensor/elementwise.ts';
import { scope, tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, random, rounded, run, seeds, shapes, testDevice } from '../engine.ts';
import { map, type Ref, ref } from '../reference/array.ts';
import * as reference from '../reference/elementwise.ts';

const device = await testDevice();

type Row = {
  /** Reference of the operation on its (already broadcastable) inputs and its scalars. */
  expected: (inputs: Ref[], s: number[]) => Ref;
  inputs: number;
  /** Where inputs are drawn from; default [-2, 2). */
  low?: number;
  high?: number;
  scalars?: number[];
  /** Where 1e-5 does not hold, the bound and why. */
  bound?: number;
};

const one = (f: (x: number, s: number[]) => number): Row => ({ inputs: 1, expected: ([x], s) => map(x, v => f(v, s)) });
const two = (op: { forward(a: Ref, b: Ref): Ref }): Row => ({ inputs: 2, expected: ([a, b]) => op.forward(a, b) });
const { exp, log, sqrt, rsqrt, abs, sign, relu, tanh, sigmoid, neg } = reference;
const unary = (op: { forward(x: Ref): Ref }, low?: number, high?: number): Row => ({
  inputs: 1,
  expected: ([x]) => op.forward(x),
  low,
  high,
});

const table: Record<Elementwise, Row> = {
  copy: one(x => x),
  neg: unary(neg),
  exp: unary(exp, -20, 20),
  log: unary(log, 0.01, 9),
  sqrt: unary(sqrt, 0, 9),
  rsqrt: unary(rsqrt, 0.01, 9),
  abs: unary(abs),
  sign: unary(sign),
  relu: unary(relu),
  square: one(x => x * x),
  reciprocal: { ...one(x => 1 / x), low: 0.1, high: 3 },
  sigmoid: unary(sigmoid, -30, 30),
  tanh: unary(tanh, -30, 30),
  floor: { ...one(Math.floor), low: -9, high: 9 },
  ceil: { ...one(Math.ceil), low: -9, high: 9 },
  addScalar: { ...one((x, [s]) => x + s), scalars: [0.75] },
  mulScalar: { ...one((x, [s]) => x * s), scalars: [-1.25] },
  affine: { ...one((x, [s, t]) => x * s + t), scalars: [1.5, -0.5] },
  powScalar: { ...one((x, [s, t]) => Math.abs(x) ** s * (x < 0 ? t : 1)), scalars: [3, -1] },
  clamp: { ...one((x, [s, t]) => Math.min(Math.max(x, s), t)), scalars: [-0.5, 0.75] },
  inRange: { ...one((x, [s, t]) => (x >= s && x <= t ? 1 : 0)), scalars: [-0.5, 0.75] },
  isZero: { ...one(x => (x === 0 ? 1 : 0)), low: 0, high: 1 },
  add: two(reference.add),
  sub: two(reference.sub),
  mul: two(reference.mul),
  div: { ...two(reference.div), low: 0.1, high: 3 },
  max: two(reference.max),
  min: two(reference.min),
  pow: { ...two(reference.pow), low: 0.1, high: 3 },
  equal: two(reference.eq),
  less: two(reference.lt),
  lessEqual: two(reference.le),
  greater: two(reference.gt),
  greaterEqual: two(reference.ge),
  gateByPositive: {
    inputs: 2,
    expected: ([a, b]) =>
      reference.where.forward(
        reference.gt.forward(
          b,
          map(b, () => 0),
        ),
        a,
        map(a, () => 0),
      ),
  },
  axpy: {
    inputs: 2,
    expected: ([a, b], [s]) =>
      reference.add.forward(
        a,
        map(b, v => s * v),
      ),
    scalars: [0.3],
  },
  blend: {
    inputs: 2,
    expected: ([a, b], [s, t]) =>
      reference.add.forward(
        map(a, v => s * v),
        map(b, v => t * v),
      ),
    scalars: [0.3, -0.7],
  },
  where: { inputs: 3, expected: ([c, a, b]) => reference.where.forward(c, a, b) },
  clampTo: { inputs: 3, expected: ([a, lo, hi]) => reference.min.forward(reference.max.forward(a, lo), hi) },
  standardise: { inputs: 3, low: 0.1, high: 3, expected: ([a, b, c]) => reference.div.forward(reference.sub.forward(a, b), c) },
};

/** Shapes that broadcast: a full shape, and of it `count` versions with dimensions set to 1 or leading ones left out. */
const broadcastable = (count: number) =>
  shapes({ maxRank: 4 }).chain(full =>
    fc.array(
      fc
        .tuple(fc.array(fc.boolean(), { minLength: full.length, maxLength: full.length }), between(0, full.length))
        .map(([flat, drop]) => full.map((size, d) => (flat[d] ? 1 : size)).slice(drop)),
      { minLength: count, maxLength: count },
    ),
  );

/** Values of which many are equal and many are 0, for comparisons. */
const coarse = (a: Ref) => map(a, v => Math.round(v * 2) / 2);
const comparisons = ['equal', 'less', 'lessEqual', 'greater', 'greaterEqual', 'where', 'isZero', 'inRange', 'sign', 'max', 'min'];
const float32 = Math.fround; // what a scalar becomes on its way to the device

describe('elementwise', () => {
  it.each(Object.keys(expressions) as Elementwise[])('%s', async op => {
    const { inputs: count, expected, low = -2, high = 2, scalars = [], bound } = table[op];
    await forAll(
      fc.tuple(broadcastable(count), seeds),
      async ([own, seed]) => {
        const inputs = own.map((shape, i) => {
          const values = random(shape, seed + i, low, high);
          return comparisons.includes(op) ? coarse(values) : values;
        });
        if (op === 'clampTo') inputs[2] = map(inputs[2], v => v + 4); // the upper bounds above the lower ones
        const [y] = await run(device, inputs, (...t) => elementwise(op, t, scalars));
        checkForward(op, y, expected(inputs, scalars.map(float32)), bound);
      },
      12,
    );
  });

  it('tanh keeps the digits of small numbers', async () => {
    const x = ref([14], [1e-30, 1e-7, -1e-7, 3e-5, -0.002, 0.01, 0.1, -0.2, 0.2499, 0.25, -0.2501, 0.3, 0.5, 1]);
    const [y] = await run(device, [rounded(x)], t => elementwise('tanh', [t]));
    rounded(x).data.forEach((v, i) => {
      expect(Math.abs(y.data[i] / Math.tanh(v) - 1), `tanh ${v}: ${y.data[i]}`).toBeLessThan(2e-6);
    });
  });

  it('numbers as the second operand', async () => {
    const x = random([3, 5], 1);
    const results = await run(device, [x], t => [add(t, 2), sub(t, 2), mul(t, 2), div(t, 2)]);
    const wanted = [map(x, v => v + 2), map(x, v => v - 2), map(x, v => v * 2), map(x, v => v / 2)];
    results.forEach((y, i) => {
      checkForward('scalar operand', y, wanted[i]);
    });
  });

  it('more than 65 535 workgroups: every element of 17 million is reached once', async () => {
    const size = 4 * 64 * 65535 + 7;
    const values = Float32Array.from({ length: size }, (_, i) => i % 1021);
    const t = tensor(device, values);
    const y = scope(device, () => add(t, t));
    const got = await y.floats();
    expect(got.findIndex((v, i) => v !== 2 * (i % 1021))).toBe(-1);
    y.dispose();
    t.dispose();
  });

  it('more than 65 535 workgroups of the broadcast kernel', async () => {
    const [rows, columns] = [3, 1398177]; // 4.2 million
    const a = tensor(
      device,
      Float32Array.from({ length: rows }, (_, i) => i),
      [rows, 1],
    );
    const b = tensor(
      device,
      Float32Array.from({ length: columns }, (_, i) => i),
      [1, columns],
    );
    const y = scope(device, () => elementwise('add', [a, b]));
    const got = await y.floats();
    expect(got.findIndex((v, i) => v !== Math.floor(i / columns) + (i % columns))).toBe(-1);
    for (const t of [a, b, y]) t.dispose();
  });

  it('an empty tensor stays empty', async () => {
    const y = scope(device, () => add(zeros(device, [0, 3]), zeros(device, [1, 3])));
    expect([y.shape, (await y.data()).length]).toEqual([[0, 3], 0]);
    y.dispose();
  });

  it('refuses what does not broadcast, naming both shapes, and integers', () => {
    expect(() => broadcastShape([2, 3], [4, 3])).toThrow('[2,3] and [4,3] do not broadcast');
    expect(() => scope(device, () => add(zeros(device, [2]), zeros(device, [2], 'i32')))).toThrow('i32');
  });

  it('refuses more than eight dimensions that cannot be merged', () => {
    const odd = Array.from({ length: 9 }, (_, d) => (d % 2 ? 2 : 1));
    const even = Array.from({ length: 9 }, (_, d) => (d % 2 ? 1 : 2));
    expect(() => scope(device, () => add(zeros(device, odd), zeros(device, even)))).toThrow('8 dimensions');
  });
});
