/** Reading and writing by index against the float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gather, gatherRows, oneHot, scatterAdd, scatterAddRows } from '../../src/tensor/index.ts';
import { type Dtype, scope, zeros } from '../../src/tensor/tensor.ts';
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

  it.each(['i32', 'u32'] as const)('gather and gatherRows move %s as they are, by indices of either sign', async dtype => {
    const values = ref(
      [3, 2],
      dtype === 'i32' ? [1, -2, 2 ** 24 + 1, -(2 ** 31), 5, 2 ** 31 - 1] : [1, 2, 3, 4e9, 5, 2 ** 32 - 1],
    );
    const at = ref([2, 2], [2, 0, 1, 1]);
    const types = new Set<Dtype>();
    for (const indices of ['i32', 'u32'] as const) {
      const [y, rows] = await run(
        device,
        [
          { values, dtype },
          { values: at, dtype: indices },
          { values: ref([2], [2, 1]), dtype: indices },
        ],
        (x, ti, tr) => {
          const found = [gather(x, ti, 0), gatherRows(x, tr)];
          for (const t of found) types.add(t.dtype);
          return found;
        },
      );
      checkForward('gather', y, reference.gather.forward(values, 0, at), 0);
      checkForward(
        'gatherRows',
        rows,
        ref(
          [2, 2],
          [4, 5, 2, 3].map(i => values.data[i]),
        ),
        0,
      );
    }
    expect([...types]).toEqual([dtype]);
  });

  it('refuses indices that do not fit, naming both shapes, and those that are no integers', () => {
    const f = (...shape: number[]) => zeros(device, shape);
    const i = (...shape: number[]) => zeros(device, shape, 'i32');
    const refuse = (work: () => unknown, message: string) => expect(() => scope(device, work)).toThrow(message);
    const same = 'both shapes are to be the same except along the axis';
    const integers = (shape: string) => `int32 indices are wanted, tensor(device, values, [${shape}], 'i32')`;
    refuse(() => gather(f(2, 3), i(3, 3), 1), `gather of [2,3] by indices [3,3] along 1: ${same}`);
    refuse(() => gather(f(2, 3), i(2), 1), `gather of [2,3] by indices [2] along 1: ${same}`);
    refuse(() => gather(f(2, 3), i(2, 3, 1), 0), `gather of [2,3] by indices [2,3,1] along 0: ${same}`);
    refuse(() => gather(f(2, 3), f(2, 1), 1), `gather of [2,3] by indices [2,1] along 1: ${integers('2,1')}`);
    for (const axis of [2, -3, 0.5])
      refuse(() => gather(f(2, 3), i(2, 3), axis), `gather of [2,3] by indices [2,3] along ${axis}: there is no such dimension`);
    refuse(
      () => scatterAdd(f(2, 3), i(4, 3), 1, 5),
      'scatterAdd of [2,3] by indices [4,3] along 1: both shapes are to be the same',
    );
    refuse(
      () => scatterAdd(f(2, 3), i(2, 4), 1, 5),
      'scatterAdd of [2,3] by indices [2,4] along 1: both shapes are to be the same',
    );
    refuse(() => scatterAdd(f(2, 3), f(2, 3), 1, 5), `scatterAdd of [2,3] by indices [2,3] along 1: ${integers('2,3')}`);
    refuse(() => scatterAdd(f(2, 3), i(2, 3), 1, 1.5), 'total 1.5, where a whole number of 0 or more is wanted');
    refuse(() => gatherRows(f(2, 3), f(4)), `gatherRows of [2,3] by indices [4]: ${integers('4')}`);
    refuse(() => gatherRows(f(), i(4)), 'gatherRows of [] by indices [4]: a number has no rows');
    refuse(() => scatterAddRows(f(2, 3), i(4), 9), 'scatterAddRows of [2,3] by indices [4]: an index for each row is wanted');
    refuse(() => oneHot(f(4), 10), `oneHot of [4] in 10 classes: ${integers('4')}`);
  });
});
