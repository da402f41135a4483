/** Derivatives of reductions and of operations that move values. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { scope, zeros } from '../../src/tensor/tensor.ts';
import { between, forAll, random, rounded, run, seeds, shapes, testDevice } from '../engine.ts';
import { type Ref, ref } from '../reference/array.ts';
import { broadcastTo, unbroadcast } from '../reference/elementwise.ts';
import * as move from '../reference/index.ts';
import { distinct } from '../reference/random.ts';
import * as reduce from '../reference/reduce.ts';
import { checkOperation, type Operation, oneSided } from './operation.ts';

const device = await testDevice();
const runs = 10;
const wholes = (count: number, max: number) => fc.array(between(0, max), { minLength: count, maxLength: count });

describe('reductions', () => {
  const rows = [
    ['sum', F.sum, reduce.sum],
    ['mean', F.mean, reduce.mean],
    ['max', F.max, reduce.max],
  ] as const;
  it.each(rows)('%s over any axes', async (name, onDevice, { forward, backward }) => {
    const examples = fc.tuple(
      shapes({ maxRank: 4 }),
      fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      fc.boolean(),
      seeds,
    );
    await forAll(
      examples,
      ([shape, chosen, keepDims, seed]) => {
        const axes = shape.flatMap((_, d) => (chosen[d] ? [d % 2 === 0 ? d : d - shape.length] : []));
        const options = { axes, keepdims: keepDims };
        const op: Operation = {
          name,
          device: x => onDevice(x, { axes, keepDims }),
          forward: x => forward(x, options),
          backward: (g, x) => backward(x, options, g),
        };
        return checkOperation(device, op, [name === 'max' ? rounded(distinct(shape, seed)) : oneSided(shape, seed)], seed);
      },
      runs,
    );
  });

  it('max shares its gradient equally among equal largest elements', async () => {
    const [g] = await run(device, [ref([2, 3], [1, 5, 5, 7, 7, 7])], x => F.grad(F.max(F.track(x), { axes: [1] }), [x]));
    expect([...g.data].map(v => Math.round(v * 6))).toEqual([0, 3, 3, 2, 2, 2]);
  });
});

/** A shape with an example of how to move its values. */
const check = (name: string, examples: fc.Arbitrary<[Ref, Omit<Operation, 'name'>, number]>) =>
  forAll(examples, ([x, op, seed]) => checkOperation(device, { name, ...op }, [x], seed, { forward: 0, second: 1e-5 }), runs);

/** A random tensor, and the example that `make` draws for its shape. */
const moves = <T>(choice: (shape: number[]) => fc.Arbitrary<T>, make: (x: Ref, how: T) => Omit<Operation, 'name'>) =>
  shapes({ minRank: 1, maxRank: 4 }).chain(shape =>
    fc.tuple(choice(shape), seeds).map(([how, seed]): [Ref, Omit<Operation, 'name'>, number] => {
      const x = random(shape, seed);
      return [x, make(x, how), seed];
    }),
  );

describe('moving values', () => {
  it('reshape', async () => {
    const examples = moves(
      shape => fc.constantFrom([-1], [1, ...shape, 1], [...shape].reverse()),
      (x, shape) => {
        const known = shape.includes(-1) ? [x.data.length] : shape;
        return {
          device: t => F.reshape(t, shape),
          forward: a => ref(known, a.data),
          backward: g => ref(x.shape, g.data),
        };
      },
    );
    await check('reshape', examples);
  });

  it('flatten', async () => {
    const examples = moves(
      () => fc.constant(0),
      ({ shape }) => ({
        device: F.flatten,
        forward: a => ref([shape[0], a.data.length / shape[0]], a.data),
        backward: g => ref(shape, g.data),
      }),
    );
    await check('flatten', examples);
  });

  it('permute', async () => {
    const examples = moves(
      shape =>
        fc.shuffledSubarray(
          shape.map((_, d) => d),
          { minLength: shape.length },
        ),
      (_, order) => ({
        device: t => F.permute(t, order),
        forward: a => move.permute.forward(a, order),
        backward: (g, a) => move.permute.backward(a, order, g),
      }),
    );
    await check('permute', examples);
  });

  it('transpose', async () => {
    const examples = moves(
      shape => fc.tuple(between(0, shape.length - 1), between(-shape.length, -1)),
      ({ shape }, [i, j]) => {
        const order = shape.map((_, d) => d);
        [order[i], order[j + shape.length]] = [j + shape.length, i];
        return {
          device: t => F.transpose(t, i, j),
          forward: a => move.permute.forward(a, order),
          backward: (g, a) => move.permute.backward(a, order, g),
        };
      },
    );
    await check('transpose', examples);
  });

  it('flip', async () => {
    const examples = moves(
      shape => fc.subarray(shape.map((_, d) => (d % 2 === 0 ? d : d - shape.length))),
      (_, axes) => ({
        device: t => F.flip(t, axes),
        forward: a => move.flip.forward(a, axes),
        backward: (g, a) => move.flip.backward(a, axes, g),
      }),
    );
    await check('flip', examples);
  });

  it('slice', async () => {
    const examples = moves(
      shape => fc.tuple(...shape.map(n => fc.tuple(between(0, n - 1), between(1, n)))),
      ({ shape }, wanted) => {
        const size = wanted.map(([start, n], d) => Math.min(n, shape[d] - start));
        const start = wanted.map(([s]) => s);
        const ranges = start.map((s, d) => [s, s + size[d], 1] as const);
        return {
          device: t => F.slice(t, start, size),
          forward: a => move.slice.forward(a, ranges),
          backward: (g, a) => move.slice.backward(a, ranges, g),
        };
      },
    );
    await check('slice', examples);
  });

  it('pad', async () => {
    const examples = moves(
      ({ length }) => fc.tuple(wholes(length, 2), wholes(length, 2)),
      (_, [before, after]) => {
        const amounts = before.map((b, d) => [b, after[d]] as const);
        return {
          device: t => F.pad(t, before, after, 0.5),
          forward: a => move.pad.forward(a, amounts, 0.5),
          backward: (g, a) => move.pad.backward(a, amounts, g),
        };
      },
    );
    await check('pad', examples);
  });

  it('expand', async () => {
    const examples = moves(
      ({ length }) => fc.tuple(wholes(length, 2), fc.array(between(1, 3), { maxLength: 2 })),
      ({ shape }, [repeats, lead]) => {
        const wide = [...lead, ...shape.map((n, d) => (n === 1 ? repeats[d] + 1 : n))];
        return {
          device: t => F.expand(t, wide),
          forward: a => broadcastTo(a, wide),
          backward: g => unbroadcast(g, shape),
        };
      },
    );
    await check('expand', examples);
  });

  it('flatten of an empty tensor keeps its sizes', () => {
    scope(device, () => {
      expect(F.flatten(zeros(device, [0, 3, 4])).shape).toEqual([0, 12]);
      expect(F.flatten(zeros(device, [2, 0, 4])).shape).toEqual([2, 0]);
    });
  });

  it('concat of nothing is refused, along any axis', () => {
    for (const axis of [0, -1]) expect(() => F.concat([], axis)).toThrow('concat of no tensors: at least one is wanted');
  });

  it('concat', async () => {
    await forAll(
      fc.tuple(shapes({ minRank: 1, maxRank: 4 }), between(0, 3), fc.array(between(1, 4), { minLength: 1, maxLength: 3 }), seeds),
      ([shape, at, extents, seed]) => {
        const axis = at % shape.length;
        const parts = extents.map((n, i) => random(shape.with(axis, n), seed + 20 + i));
        const op: Operation = {
          name: 'concat',
          device: (...t) => F.concat(t, seed % 2 === 0 ? axis : axis - shape.length),
          forward: (...xs) => move.concat.forward(xs, axis),
          backward: (g, ...xs) => move.concat.backward(xs, axis, g),
        };
        return checkOperation(device, op, parts, seed, { forward: 0, second: 1e-5 });
      },
      runs,
    );
  });
});
