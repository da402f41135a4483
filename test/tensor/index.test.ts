/** Reading and writing by index against the float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gather, gatherRows, oneHot, scatterAdd, scatterAddRows } from '../../src/tensor/index.ts';
import { between, checkForward, checkGradient, forAll, random, run, seeds, shapes, testDevice } from '../engine.ts';
import { type Ref, ref, sizeOf } from '../reference/array.ts';
import * as reference from '../reference/index.ts';
import { integers } from '../reference/random.ts';

const device = await testDevice();
const asIndex = (values: Ref) => ({ values, dtype: 'i32' as const });

describe('index operations', () => {
  it('gather along any axis, and its gradient', async () => {
    const cases = shapes({ minRank: 1, maxRank: 4 }).chain(shape =>
      fc.record({ shape: fc.constant(shape), axis: between(0, shape.length - 1), count: between(1, 6), seed: seeds }),
    );
    await forAll(cases, async ({ shape, axis, count, seed }) => {
      const x = random(shape, seed);
      const atShape = shape.map((s, d) => (d === axis ? count : s));
      const at = ref(atShape, integers(sizeOf(atShape), seed + 1, shape[axis]));
      const g = random(atShape, seed + 2);
      const [y, gx] = await run(device, [x, asIndex(at), g], (tx, ti, tg) => [
        gather(tx, ti, axis),
        scatterAdd(tg, ti, axis, shape[axis]),
      ]);
      checkForward('gather', y, reference.gather.forward(x, axis, at), 0);
      checkGradient('gather', gx, reference.gather.backward(x, axis, at, g));
      checkForward('scatterAdd', gx, reference.scatterAdd.forward(ref(shape), axis, at, g));
    });
  });

  it('rows by index, and their gradient', async () => {
    await forAll(
      fc.record({ rows: between(1, 9), rest: shapes({ maxRank: 2 }), count: between(1, 12), seed: seeds }),
      async ({ rows, rest, count, seed }) => {
        const x = random([rows, ...rest], seed);
        const at = integers(count, seed + 1, rows);
        const g = random([count, ...rest], seed + 2);
        const [y, gx] = await run(device, [x, asIndex(ref([count], at)), g], (tx, ti, tg) => [
          gatherRows(tx, ti),
          scatterAddRows(tg, ti, rows),
        ]);
        const width = sizeOf(rest);
        const wanted = ref(
          [count, ...rest],
          at.flatMap(row => [...x.data.subarray(row * width, (row + 1) * width)]),
        );
        const back = ref(x.shape);
        at.forEach((row, j) => {
          for (let i = 0; i < width; i++) back.data[row * width + i] += g.data[j * width + i];
        });
        checkForward('gatherRows', y, wanted, 0);
        checkGradient('gatherRows', gx, back);
      },
    );
  });

  it('one-hot', async () => {
    await forAll(fc.record({ n: between(1, 70), classes: between(1, 12), seed: seeds }), async ({ n, classes, seed }) => {
      const labels = integers(n, seed, classes);
      const [y] = await run(device, [asIndex(ref([n], labels))], t => oneHot(t, classes));
      checkForward('oneHot', y, reference.oneHot.forward(labels, classes), 0);
    });
  });

  it('an index out of range reads 0 and writes nothing', async () => {
    const at = ref([4], [-1, 0, 3, 2_000_000_000]);
    const [y, back, hot] = await run(device, [random([3], 1), asIndex(at), ref([4], 1)], (tx, ti, tg) => [
      gather(tx, ti, 0),
      scatterAdd(tg, ti, 0, 3),
      oneHot(ti, 3),
    ]);
    expect([...y.data]).toEqual([0, random([3], 1).data[0], 0, 0]);
    expect([...back.data]).toEqual([1, 0, 0]);
    expect([...hot.data]).toEqual([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });
});
