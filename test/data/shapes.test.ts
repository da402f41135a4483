/** The embedded set: a seed gives its bytes for ever, and both kinds of features are what docs/shapes.md says. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { shapes } from '../../src/data/shapes.ts';
import type { Split } from '../../src/data/types.ts';

const PIXELS = 1024;
const set = shapes({ seed: 1, train: 600, val: 100, test: 100 });

/** The patterns of docs/shapes.md, written anew: signs `[10, 32 * 32]`. */
const sign = (factor: string, x: number) =>
  (factor.includes('a') && x % 2 ? -1 : 1) * (factor.includes('b') && x % 4 > 1 ? -1 : 1);
const FACTORS = ['a/1', '1/a', 'a/a', 'ab/1', '1/ab', 'ab/ab', 'a/ab', 'ab/a', 'b/a', 'a/b'].map(pair => pair.split('/'));
const SIGNS = FACTORS.map(([column, row]) =>
  Array.from({ length: PIXELS }, (_, i) => sign(column, i % 32) * sign(row, Math.floor(i / 32))),
);

/** The class whose pattern correlates best with image n: a linear classifier that sees nothing but the fragile features. */
function fragileClass(images: ArrayLike<number>, n: number): number {
  const scores = SIGNS.map(signs => {
    let sum = 0;
    for (let i = 0; i < 3 * PIXELS; i++) sum += signs[i % PIXELS] * images[n * 3 * PIXELS + i];
    return sum;
  });
  return scores.indexOf(Math.max(...scores));
}

const accuracy = (images: ArrayLike<number>, split: Split) =>
  Array.from({ length: split.count }, (_, n) => Number(fragileClass(images, n) === split.labels[n])).reduce((a, b) => a + b) /
  split.count;

describe('shapes', () => {
  it('gives the same bytes for a seed, on every machine and in every version', () => {
    const hash = createHash('sha256')
      .update(set.train.images.subarray(0, 100 * 3 * PIXELS))
      .digest('hex');
    expect(hash).toBe('2d918f9e7d517c69961069bbd2e669c3e8dd7859c467b9f49d9a328921029db6');
    expect(shapes({ seed: 2, train: 1, val: 1, test: 1 }).train.images).not.toEqual(set.train.images.subarray(0, 3 * PIXELS));
  });

  it('keeps the images of a smaller count, and has other images in every split', () => {
    const small = shapes({ seed: 1, train: 7, val: 3, test: 3 });
    for (const part of ['train', 'val', 'test'] as const) {
      const { images, labels, count } = small[part];
      expect(Buffer.compare(images, set[part].images.subarray(0, images.length))).toBe(0);
      expect([...labels]).toEqual([...set[part].labels.subarray(0, count)]);
    }
    expect(small.val.images).not.toEqual(small.test.images);
    expect(small.val.images).not.toEqual(small.train.images.subarray(0, small.val.images.length));
  });

  it('has ten classes in turn and the mean and deviation that it states', () => {
    expect(set.classes).toHaveLength(10);
    expect(new Set(set.classes).size).toBe(10);
    expect([...set.train.labels.subarray(0, 12)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    for (let c = 0; c < 3; c++) {
      let sum = 0;
      let squares = 0;
      for (let n = 0; n < set.train.count; n++) {
        for (const value of set.train.images.subarray((3 * n + c) * PIXELS, (3 * n + c + 1) * PIXELS)) {
          sum += value / 255;
          squares += (value / 255) ** 2;
        }
      }
      const mean = sum / (set.train.count * PIXELS);
      expect(mean).toBeCloseTo(set.mean[c], 1.9);
      expect(Math.sqrt(squares / (set.train.count * PIXELS) - mean ** 2)).toBeCloseTo(set.std[c], 1.9);
    }
  });

  it('is never clipped, so that the fragile pattern is whole everywhere', () => {
    const { images } = set.train;
    expect(images.reduce((a, b) => Math.min(a, b))).toBeGreaterThanOrEqual(12);
    expect(images.reduce((a, b) => Math.max(a, b))).toBeLessThanOrEqual(253);
  });

  it('tells the class by its fragile features, which a perturbation of 6/255 exchanges for another class', () => {
    const { test } = set;
    expect(accuracy(test.images, test)).toBeGreaterThan(0.98);
    const attacked = Array.from(test.images, (value, i) => {
      const label = test.labels[Math.floor(i / (3 * PIXELS))];
      return value + 3 * (SIGNS[(label + 1) % 10][i % PIXELS] - SIGNS[label][i % PIXELS]);
    });
    expect(attacked.every((value, i) => Math.abs(value - test.images[i]) <= 6 && value >= 0 && value <= 255)).toBe(true);
    expect(accuracy(attacked, test)).toBeLessThan(0.02);
  });

  it('shows the shape far beyond the attack in most images and within its reach in the others', () => {
    // Means of aligned 4 x 4 blocks are free of the patterns; within an image they then differ by ground ramp (±19) and shape.
    const spread = Array.from({ length: set.train.count }, (_, n) => {
      const means = new Float64Array(64);
      for (let i = 0; i < PIXELS; i++)
        means[8 * Math.floor(i / 128) + Math.floor((i % 32) / 4)] += set.train.images[3 * n * PIXELS + i] / 16;
      const [low, high] = [Math.min(...means), Math.max(...means)];
      return high - low;
    });
    const visible = spread.filter(s => s > 35).length / spread.length;
    expect(visible).toBeGreaterThan(0.75);
    expect(visible).toBeLessThan(0.95);
  });
});
