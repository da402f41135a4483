/** Merging dimensions must not change what a kernel walks over. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { broadcastStrides, contiguousStrides, mergeDims } from '../../src/kernels/layout.ts';
import { between } from '../engine.ts';
import { indices } from '../reference/array.ts';

/** Offsets in walking order. */
const walk = (dims: readonly number[], strides: readonly number[]) =>
  Array.from(indices(dims), index => index.reduce((at, i, d) => at + i * strides[d], 0));

const operands = fc
  .array(fc.oneof(fc.constant(1), between(1, 4)), { maxLength: 6 })
  .chain(shape =>
    fc
      .array(fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }), { minLength: 1, maxLength: 3 })
      .map(flat => ({ shape, own: flat.map(f => shape.map((size, d) => (f[d] ? 1 : size))) })),
  );

describe('mergeDims', () => {
  it('walks every operand in the same order over no more dimensions', () => {
    fc.assert(
      fc.property(operands, ({ shape, own }) => {
        const strides = own.map(s => broadcastStrides(s, shape));
        const merged = mergeDims(shape, strides);
        expect(merged.dims.length).toBeLessThanOrEqual(shape.length);
        strides.forEach((s, k) => {
          expect(walk(merged.dims, merged.strides[k])).toEqual(walk(shape, s));
        });
      }),
    );
  });

  it('a contiguous array becomes one dimension', () => {
    expect(mergeDims([2, 1, 3, 4], [contiguousStrides([2, 1, 3, 4])])).toEqual({ dims: [24], strides: [[1]] });
  });
});
