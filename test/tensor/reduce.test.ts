/** Reductions over any axes against the float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argmax, max, mean, min, normaliseAxes, reduce, sum } from '../../src/tensor/reduce.ts';
import { scope, tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { map, type Ref, ref } from '../reference/array.ts';
import * as reference from '../reference/reduce.ts';

const device = await testDevice();

/** A shape, some of its axes (named from either end), and whether they are kept. */
const cases = (maxRank: number, maxSize: number) =>
  fc.array(fc.oneof(fc.constant(1), between(1, maxSize)), { maxLength: maxRank }).chain(shape =>
    fc.record({
      shape: fc.constant(shape),
      axes: fc.option(
        fc
          .subarray(shape.map((_, d) => d))
          .chain(axes => fc.boolean().map(negative => axes.map(d => (negative ? d - shape.length : d)))),
        { nil: undefined },
      ),
      keepDims: fc.boolean(),
      seed: seeds,
    }),
  );

const coarse = (a: Ref) => map(a, v => Math.round(v * 3));

describe('reductions', () => {
  const rows = [
    { name: 'sum', op: sum, expected: reference.sum },
    { name: 'mean', op: mean, expected: reference.mean },
    { name: 'max', op: max, expected: reference.max },
    { name: 'min', op: min, expected: reference.min },
    { name: 'argmax', op: argmax, expected: reference.argmax },
  ];
  it.each(rows)('$name', async ({ name, op, expected }) => {
    await forAll(cases(5, 6), async ({ shape, axes, keepDims, seed }) => {
      const x = name === 'argmax' ? coarse(random(shape, seed)) : random(shape, seed, 0.5, 2);
      const [y] = await run(device, [x], t => op(t, { axes, keepDims }));
      checkForward(name, y, expected.forward(x, { axes, keepdims: keepDims }), /max|min/.test(name) ? 0 : undefined);
    });
  });

  it('the sum of squares, of magnitudes, and the index of the smallest', async () => {
    await forAll(
      cases(4, 5),
      async ({ shape, axes, seed }) => {
        const x = coarse(random(shape, seed));
        const [squares, magnitudes, smallest] = await run(device, [x], t => [
          reduce('sumSquares', t, { axes }),
          reduce('sumAbs', t, { axes }),
          reduce('argmin', t, { axes }),
        ]);
        checkForward(
          'sumSquares',
          squares,
          reference.sum.forward(
            map(x, v => v * v),
            { axes },
          ),
        );
        checkForward('sumAbs', magnitudes, reference.sum.forward(map(x, Math.abs), { axes }));
        checkForward(
          'argmin',
          smallest,
          reference.argmax.forward(
            map(x, v => -v),
            { axes },
          ),
          0,
        );
      },
      12,
    );
  });

  it('one long sum and many long rows: workgroups join 64 parts', async () => {
    await forAll(
      fc.record({ rows: fc.constantFrom(1, 3, 65), count: between(64, 3000), inner: fc.constantFrom(1, 5), seed: seeds }),
      async ({ rows, count, inner, seed }) => {
        const x = random([rows, count, inner], seed);
        const [total, largest] = await run(device, [x], t => [sum(t, { axes: [1] }), argmax(t, { axes: [1] })]);
        checkForward('sum', total, reference.sum.forward(x, { axes: [1] }));
        checkForward('argmax', largest, reference.argmax.forward(x, { axes: [1] }), 0);
      },
      15,
    );
  });

  it('an equal value later never wins, across all parts of a workgroup', async () => {
    await forAll(
      fc.tuple(between(1, 700), between(0, 699), between(0, 699)).map(([n, a, b]) => ({ n, at: [a % n, b % n] })),
      async ({ n, at }) => {
        const x = ref([n], -5);
        for (const i of at) x.data[i] = 2;
        const [y] = await run(device, [x], t => argmax(t));
        expect(y.data[0]).toBe(Math.min(...at));
      },
    );
  });

  it('more than 65 535 workgroups, in both layouts', async () => {
    const [rows, count] = [70001, 64];
    const t = tensor(
      device,
      Float32Array.from({ length: rows * count }, (_, i) => (i % count) + (i >= count * (rows - 1) ? 1 : 0)),
      [rows, count],
    );
    const byRow = scope(device, () => sum(t, { axes: [1] }));
    const all = scope(device, () => max(t));
    const got = await byRow.floats();
    expect(got.findIndex((v, i) => v !== 2016 + (i === rows - 1 ? 64 : 0))).toBe(-1);
    expect(await all.item()).toBe(64);
    for (const u of [t, byRow, all]) u.dispose();
  });

  it('the sum of millions of values keeps its precision', async () => {
    const x = random([3_000_000], 5, 0, 1);
    const [y] = await run(device, [x], t => sum(t));
    checkForward('sum', y, reference.sum.forward(x));
  });

  it('infinities are values like others', async () => {
    const x = ref([2, 3], [-Infinity, -Infinity, -Infinity, Infinity, 1, Infinity]);
    const [largest, at, smallest] = await run(device, [x], t => [
      max(t, { axes: [1] }),
      argmax(t, { axes: [1] }),
      min(t, { axes: [1] }),
    ]);
    expect([...largest.data, ...at.data, ...smallest.data]).toEqual([-Infinity, Infinity, 0, 0, -Infinity, 1]);
  });

  it('a sum over no elements is 0, an extreme of none is refused', async () => {
    const y = scope(device, () => sum(zeros(device, [3, 0]), { axes: [1] }));
    expect([...(await y.data())]).toEqual([0, 0, 0]);
    y.dispose();
    expect(() => scope(device, () => max(zeros(device, [0])))).toThrow('max of an empty tensor');
  });

  it('refuses axes out of range or given twice', () => {
    expect(() => normaliseAxes([2], 2)).toThrow('2 is out of range');
    expect(() => normaliseAxes([0, -2], 2)).toThrow('given twice');
  });
});
