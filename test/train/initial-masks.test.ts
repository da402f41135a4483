/** The batches that SNIP and GraSP get. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { evenBatches } from '../../src/train/initial-masks.ts';

it('are as few as can be, and differ by one sample at most', () => {
  expect(evenBatches(1000, 128)).toEqual(Array(8).fill(125));
  expect(evenBatches(129, 128)).toEqual([65, 64]);
  expect(evenBatches(128, 128)).toEqual([128]);
  expect(evenBatches(0, 128)).toEqual([]);
  const positive = fc.integer({ min: 1, max: 3000 });
  fc.assert(
    fc.property(positive, positive, (n, most) => {
      const sizes = evenBatches(n, most);
      expect(sizes.reduce((a, b) => a + b)).toBe(n);
      expect(sizes).toHaveLength(Math.ceil(n / most));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(most);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }),
  );
});
