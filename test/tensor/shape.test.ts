/** Operations that rearrange, on floats and integers: exact copies. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, copyInto, expand, flip, pad, permute, slice, transpose } from '../../src/tensor/shape.ts';
import { type Dtype, scope, type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, random, run, seeds, shapes, testDevice } from '../engine.ts';
import { map, type Ref } from '../reference/array.ts';
import { broadcastTo } from '../reference/elementwise.ts';
import * as reference from '../reference/index.ts';
import { permutation } from '../reference/random.ts';

const device = await testDevice();
const dtypes = fc.constantFrom<Dtype>('f32', 'i32');

/** Checks that an operation moves exactly the right values, of either type. */
async function checkMoves(
  name: string,
  inputs: Ref[],
  dtype: Dtype,
  work: (...t: Tensor[]) => Tensor,
  expected: (...r: Ref[]) => Ref,
) {
  const values = dtype === 'i32' ? inputs.map(a => map(a, v => Math.round(v * 1e9))) : inputs;
  const types = new Set<Dtype>();
  const [y] = await run(
    device,
    values.map(a => ({ values: a, dtype })),
    (...t) => {
      const result = work(...t);
      types.add(result.dtype);
      return result;
    },
  );
  checkForward(name, y, expected(...values), 0);
  expect([...types]).toEqual([dtype]);
}

describe('shape operations', () => {
  it('permute', async () => {
    await forAll(fc.tuple(shapes({ maxRank: 6, maxSize: 5 }), dtypes, seeds), async ([shape, dtype, seed]) => {
      const order = permutation(shape.length, seed);
      await checkMoves(
        'permute',
        [random(shape, seed)],
        dtype,
        t => permute(t, order),
        r => reference.permute.forward(r, order),
      );
    });
  });

  it('transpose exchanges two dimensions, by default the last two', async () => {
    await checkMoves(
      'permute',
      [random([2, 3, 4], 1)],
      'f32',
      t => transpose(t),
      r => reference.permute.forward(r, [0, 2, 1]),
    );
    await checkMoves(
      'permute',
      [random([2, 3, 4], 1)],
      'f32',
      t => transpose(t, 0, -1),
      r => reference.permute.forward(r, [2, 1, 0]),
    );
  });

  it('flip', async () => {
    await forAll(fc.tuple(shapes({ minRank: 1 }), dtypes, seeds, fc.boolean()), async ([shape, dtype, seed, negative]) => {
      const axes = permutation(shape.length, seed).slice(seed % (shape.length + 1));
      await checkMoves(
        'flip',
        [random(shape, seed)],
        dtype,
        t =>
          flip(
            t,
            axes.map(d => (negative ? d - shape.length : d)),
          ),
        r => reference.flip.forward(r, axes),
      );
    });
  });

  it('slice', async () => {
    const ranges = shapes().chain(shape =>
      fc.tuple(...shape.map(size => fc.tuple(between(0, size - 1), between(1, size)))).map(pairs => ({
        shape,
        start: pairs.map(([from]) => from),
        size: pairs.map(([from, count], d) => Math.min(count, shape[d] - from)),
      })),
    );
    await forAll(fc.tuple(ranges, dtypes, seeds), async ([{ shape, start, size }, dtype, seed]) => {
      await checkMoves(
        'slice',
        [random(shape, seed)],
        dtype,
        t => slice(t, start, size),
        r =>
          reference.slice.forward(
            r,
            start.map((s, d) => [s, s + size[d], 1] as const),
          ),
      );
    });
  });

  it('pad, with a value of the tensor’s type', async () => {
    const paddings = shapes({ maxRank: 4 }).chain(shape =>
      fc.record({
        shape: fc.constant(shape),
        before: fc.tuple(...shape.map(() => between(0, 3))),
        after: fc.tuple(...shape.map(() => between(0, 3))),
        value: fc.constantFrom(0, -7, 3),
      }),
    );
    await forAll(fc.tuple(paddings, dtypes, seeds), async ([{ shape, before, after, value }, dtype, seed]) => {
      await checkMoves(
        'pad',
        [random(shape, seed)],
        dtype,
        t => pad(t, before, after, value),
        r =>
          reference.pad.forward(
            r,
            before.map((b, d) => [b, after[d]] as const),
            value,
          ),
      );
    });
  });

  it('expand', async () => {
    const targets = shapes({ maxRank: 5, maxSize: 4 }).chain(full =>
      fc
        .tuple(fc.array(fc.boolean(), { minLength: full.length, maxLength: full.length }), between(0, full.length))
        .map(([flat, drop]) => ({
          full,
          own: full.map((size, d) => (flat[d] ? 1 : size)).slice(drop),
        })),
    );
    await forAll(fc.tuple(targets, dtypes, seeds), async ([{ full, own }, dtype, seed]) => {
      await checkMoves(
        'expand',
        [random(own, seed)],
        dtype,
        t => expand(t, full),
        r => broadcastTo(r, full),
      );
    });
  });

  it('concat', async () => {
    const parts = shapes({ minRank: 1, maxRank: 4 }).chain(shape =>
      fc.record({
        shape: fc.constant(shape),
        axis: between(0, shape.length - 1),
        sizes: fc.array(between(1, 4), { minLength: 1, maxLength: 4 }),
        negative: fc.boolean(),
      }),
    );
    await forAll(fc.tuple(parts, dtypes, seeds), async ([{ shape, axis, sizes, negative }, dtype, seed]) => {
      const inputs = sizes.map((size, i) =>
        random(
          shape.map((s, d) => (d === axis ? size : s)),
          seed + i,
        ),
      );
      await checkMoves(
        'concat',
        inputs,
        dtype,
        (...t) => concat(t, negative ? axis - shape.length : axis),
        (...r) => reference.concat.forward(r, axis),
      );
    });
  });

  it('copyInto writes one tensor over another of any shape', async () => {
    await checkMoves(
      'copyInto',
      [random([3, 4], 1), random([12], 2)],
      'i32',
      (from, to) => {
        copyInto(from, to);
        return to.reshape([3, 4]);
      },
      from => from,
    );
    expect(() => scope(device, () => copyInto(zeros(device, [2]), zeros(device, [3])))).toThrow('copy of [2] into [3]');
  });

  it('more than 65 535 workgroups', async () => {
    const [rows, columns] = [1025, 4099];
    const t = tensor(
      device,
      Int32Array.from({ length: rows * columns }, (_, i) => i),
      [rows, columns],
      'i32',
    );
    const [turned, joined] = scope(device, () => [transpose(t), concat([t, t])]);
    const got = await turned.data();
    expect(got.findIndex((v, i) => v !== (i % rows) * columns + Math.floor(i / rows))).toBe(-1);
    const both = await joined.data();
    expect(both.findIndex((v, i) => v !== i % (rows * columns))).toBe(-1);
    for (const u of [t, turned, joined]) u.dispose();
  });

  it('refuses what does not fit', () => {
    const x = () => zeros(device, [2, 3]);
    const refuse = (work: () => unknown, message: string) => expect(() => scope(device, work)).toThrow(message);
    refuse(() => permute(x(), [0, 0]), 'each dimension once');
    refuse(() => slice(x(), [0, 1], [2, 3]), 'out of range');
    refuse(() => pad(x(), [1], [1]), 'pad of [2,3]');
    refuse(() => pad(x(), [1, -1], [0, 0]), 'pad of [2,3]');
    refuse(() => flip(x(), [2]), 'flip of [2,3]');
    refuse(() => flip(x(), [0, -2]), 'flip of [2,3] along [0,-2]: a dimension is given twice');
    refuse(() => transpose(x(), 5, 0), 'transpose of [2,3] along 5 and 0: there is no such dimension');
    refuse(() => transpose(zeros(device, [3])), 'transpose of [3] along -2 and -1: there is no such dimension');
    refuse(() => expand(x(), [2, 4]), 'expand of [2,3] to [2,4]');
    refuse(() => expand(x(), [3]), 'expand of [2,3] to [3]');
    refuse(() => concat([x(), zeros(device, [3, 3])], 1), 'do not fit');
    refuse(() => concat([x(), zeros(device, [2, 3], 'i32')]), 'do not fit');
    refuse(() => concat([x()], 2), 'concat along 2');
    refuse(() => concat([]), 'concat of no tensors: at least one is wanted');
  });
});
