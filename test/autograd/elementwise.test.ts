/** Derivatives of the elementwise operations, with broadcasting. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { forAll, fromRef, random, rounded, run, seeds, shapes, testDevice } from '../engine.ts';
import { map, type Ref, ref, zip } from '../reference/array.ts';
import * as reference from '../reference/elementwise.ts';
import { distinct } from '../reference/random.ts';
import { checkOperation, type Operation, oneSided } from './operation.ts';

const device = await testDevice();
const runs = 10;

/** Multiples of 0.01 that are not 0, all different: away from the kinks. */
const kinked = (shape: readonly number[], seed: number) => rounded(distinct(shape, seed));
const smooth = (low: number, high: number) => (shape: readonly number[], seed: number) => random(shape, seed, low, high);

const square: reference.Unary = {
  forward: x => map(x, v => v * v),
  backward: (x, g) => zip(x, g, (v, d) => 2 * v * d),
};

describe('one input', () => {
  const rows: [string, (a: Tensor) => Tensor, reference.Unary, (shape: readonly number[], seed: number) => Ref][] = [
    ['neg', F.neg, reference.neg, smooth(-2, 2)],
    ['exp', F.exp, reference.exp, smooth(-2, 2)],
    ['log', F.log, reference.log, smooth(1.2, 4)],
    ['sqrt', F.sqrt, reference.sqrt, smooth(0.2, 3)],
    ['rsqrt', F.rsqrt, reference.rsqrt, smooth(0.2, 3)],
    ['square', F.square, square, smooth(-2, 2)],
    ['abs', F.abs, reference.abs, kinked],
    ['relu', F.relu, reference.relu, kinked],
    ['sigmoid', F.sigmoid, reference.sigmoid, oneSided],
    ['tanh', F.tanh, reference.tanh, oneSided],
  ];
  it.each(rows)('%s', async (name, onDevice, { forward, backward }, data) => {
    const op: Operation = { name, device: onDevice, forward, backward: (g, x) => backward(x, g) };
    await forAll(
      fc.tuple(shapes({ maxRank: 4 }), seeds),
      ([shape, seed]) => checkOperation(device, op, [data(shape, seed)], seed),
      runs,
    );
  });

  it('clamp', async () => {
    const op: Operation = {
      name: 'clamp',
      device: a => F.clamp(a, -0.105, 0.155),
      forward: x => reference.clamp.forward(x, -0.105, 0.155),
      backward: (g, x) => reference.clamp.backward(x, -0.105, 0.155, g),
    };
    await forAll(
      fc.tuple(shapes({ maxRank: 4 }), seeds),
      ([shape, seed]) => checkOperation(device, op, [kinked(shape, seed)], seed),
      runs,
    );
  });

  it('with a number', async () => {
    const c = ref([], 0.75); // exact in float32
    const rows: [string, (a: Tensor) => Tensor, reference.Binary][] = [
      ['add', a => F.add(a, 0.75), reference.add],
      ['sub', a => F.sub(a, 0.75), reference.sub],
      ['mul', a => F.mul(a, 0.75), reference.mul],
      ['div', a => F.div(a, 0.75), reference.div],
      ['pow', a => F.pow(a, 0.75), reference.pow],
    ];
    for (const [name, onDevice, { forward, backward }] of rows) {
      const op: Operation = { name, device: onDevice, forward: x => forward(x, c), backward: (g, x) => backward(x, c, g)[0] };
      await forAll(
        fc.tuple(shapes({ maxRank: 3 }), seeds),
        ([shape, seed]) => checkOperation(device, op, [random(shape, seed, 0.3, 2)], seed),
        4,
      );
    }
  });
});

describe('pow with a number', () => {
  it.each([-3, -2, 2, 3])('%i, bases of either sign', async exponent => {
    const op: Operation = {
      name: 'pow',
      device: a => F.pow(a, exponent),
      forward: x => map(x, v => v ** exponent),
      backward: (g, x) => zip(x, g, (v, d) => d * exponent * v ** (exponent - 1)),
    };
    await forAll(
      fc.tuple(shapes({ maxRank: 3 }), seeds),
      ([shape, seed]) => checkOperation(device, op, [oneSided(shape, seed, 0.5, 1.5)], seed),
      4,
    );
  });

  it.each([0, 1, 2, 3, 4, 5, 0.75, 2.5, -1, -3, -0.5])('%f: value and gradient of each element', async exponent => {
    const whole = Number.isInteger(exponent);
    const bases = [0.1, 0.3, 1, 1.7, 4].map(Math.fround);
    const x = ref([11], [...bases, ...bases.map(v => (whole ? -v : v)), exponent < 1 && exponent !== 0 ? 1 : 0]);
    const [y, g] = await run(device, [x], t => {
      const out = F.pow(F.track(t), exponent);
      return [out, ...F.grad(out, [t])];
    });
    x.data.forEach((v, i) => {
      const close = (found: number, wanted: number, what: string) =>
        expect(Math.abs(found - wanted), `${what} of ${v}^${exponent}: ${found} for ${wanted}`).toBeLessThanOrEqual(
          1e-5 * Math.abs(wanted),
        );
      close(y.data[i], v ** exponent, 'value');
      close(g.data[i], exponent === 0 ? 0 : exponent * v ** (exponent - 1), 'gradient');
    });
  });

  it('of a negative base and no whole exponent is NaN', async () => {
    const [y] = await run(device, [ref([2], [-2, 2])], t => F.pow(t, 0.5));
    expect([...y.data].map(Number.isNaN)).toEqual([true, false]);
  });
});

/** Shapes that broadcast: each drops leading dimensions or has 1 in places. */
function broadcasting(count: number): fc.Arbitrary<number[][]> {
  return shapes({ maxRank: 4, maxSize: 5 }).chain(shape =>
    fc.tuple(
      ...Array.from({ length: count }, () =>
        fc
          .tuple(fc.integer({ min: 0, max: shape.length }), fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }))
          .map(([drop, ones]) => shape.map((size, d) => (ones[d] ? 1 : size)).slice(drop)),
      ),
    ),
  );
}

describe('two inputs, broadcast', () => {
  const shifted = (shape: readonly number[], seed: number) => rounded(map(distinct(shape, seed), v => v + 0.005));
  const rows: [string, (a: Tensor, b: Tensor) => Tensor, reference.Binary, (shapes: number[][], seed: number) => Ref[]][] = [
    ['add', F.add, reference.add, ([a, b], seed) => [random(a, seed), random(b, seed + 9)]],
    ['sub', F.sub, reference.sub, ([a, b], seed) => [random(a, seed), random(b, seed + 9)]],
    ['mul', F.mul, reference.mul, ([a, b], seed) => [oneSided(a, seed), oneSided(b, seed + 8)]],
    ['div', F.div, reference.div, ([a, b], seed) => [oneSided(a, seed), oneSided(b, seed + 9)]],
    ['pow', F.pow, reference.pow, ([a, b], seed) => [random(a, seed, 1.2, 2), oneSided(b, seed + 9, 0.5, 2)]],
    ['maximum', F.maximum, reference.max, ([a, b], seed) => [kinked(a, seed), shifted(b, seed + 9)]],
    ['minimum', F.minimum, reference.min, ([a, b], seed) => [kinked(a, seed), shifted(b, seed + 9)]],
  ];
  it.each(rows)('%s', async (name, onDevice, { forward, backward }, data) => {
    const op: Operation = { name, device: onDevice, forward, backward: (g, a, b) => backward(a, b, g) };
    await forAll(fc.tuple(broadcasting(2), seeds), ([pair, seed]) => checkOperation(device, op, data(pair, seed), seed), runs);
  });

  it('where', async () => {
    await forAll(
      fc.tuple(broadcasting(3), seeds),
      ([[c, a, b], seed]) => {
        const condition = rounded(map(random(c, seed), v => (v > 0 ? 1 : 0)));
        const op: Operation = {
          name: 'where',
          device: (x, y) => F.where(fromRef(device, condition), x, y),
          forward: (x, y) => reference.where.forward(condition, x, y),
          backward: (g, x, y) => reference.where.backward(condition, x, y, g),
        };
        return checkOperation(device, op, [random(a, seed + 1), random(b, seed + 2)], seed);
      },
      runs,
    );
  });
});

describe('at kinks', () => {
  const gradients = (x: Ref, f: (...t: Tensor[]) => Tensor, ...rest: Ref[]) =>
    run(device, [x, ...rest], (...t) => {
      for (const one of t) F.track(one);
      return F.grad(f(...t), t);
    });

  it('relu and abs have gradient 0 at 0, clamp has 1 on its bounds', async () => {
    const x = ref([3], [-1, 0, 1]);
    expect((await gradients(x, F.relu))[0].data).toEqual(Float64Array.of(0, 0, 1));
    expect((await gradients(x, F.abs))[0].data).toEqual(Float64Array.of(-1, 0, 1));
    expect((await gradients(x, a => F.clamp(a, -1, 1)))[0].data).toEqual(Float64Array.of(1, 1, 1));
    expect((await gradients(x, a => F.clamp(a, -0.5, 0.5)))[0].data).toEqual(Float64Array.of(0, 1, 0));
  });

  it('maximum and minimum share the gradient of equal elements', async () => {
    const [a, b] = [ref([3], [1, 2, 3]), ref([3], [2, 2, 2])];
    for (const f of [F.maximum, F.minimum]) {
      const larger = f === F.maximum ? [0, 0.5, 1] : [1, 0.5, 0];
      const [ga, gb] = await gradients(a, f, b);
      expect([...ga.data]).toEqual(larger);
      expect([...gb.data]).toEqual(larger.map(share => 1 - share));
    }
  });
});
