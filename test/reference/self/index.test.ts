/** Moves of values and exact selection: gradients, inverses, ties, and PyTorch's numbers. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Ref, ref } from '../array.ts';
import { readFixture } from '../fixture.ts';
import * as index from '../index.ts';
import { distinct, integers, permutation, uniform } from '../random.ts';
import * as select from '../select.ts';
import { expectClose, expectGradient } from './gradient.ts';

const seeds = fc.integer({ min: 0, max: 1e6 });
const between = (min: number, max: number) => fc.integer({ min, max });
const shapes = fc.array(between(1, 4), { minLength: 1, maxLength: 4 });
const fixture = readFixture('operations');

describe('moves', () => {
  it('permute: gradient, and the inverse order undoes it', () => {
    fc.assert(
      fc.property(shapes, seeds, (shape, seed) => {
        const order = permutation(shape.length, seed);
        const x = uniform(shape, seed);
        expectGradient(
          [x],
          a => index.permute.forward(a, order),
          (g, a) => [index.permute.backward(a, order, g)],
          seed,
        );
        const inverse = order.map((_, axis) => order.indexOf(axis));
        expect(index.permute.forward(index.permute.forward(x, order), inverse)).toEqual(x);
      }),
    );
  });
  it('permute by hand', () => {
    const x = ref([2, 1, 3], [1, 2, 3, 4, 5, 6]);
    expect(index.permute.forward(x, [2, 0, 1])).toEqual(ref([3, 2, 1], [1, 4, 2, 5, 3, 6]));
  });
  it('flip: gradient, by hand, and twice is nothing', () => {
    fc.assert(
      fc.property(shapes, seeds, (shape, seed) => {
        const x = uniform(shape, seed);
        expectGradient(
          [x],
          a => index.flip.forward(a, [0, -1]),
          (g, a) => [index.flip.backward(a, [0, -1], g)],
          seed,
        );
        expect(index.flip.forward(index.flip.forward(x, [-1]), [-1])).toEqual(x);
      }),
    );
    expect(index.flip.forward(ref([2, 2], [1, 2, 3, 4]), [-1])).toEqual(ref([2, 2], [2, 1, 4, 3]));
  });
  it('pad: gradient, and slicing the middle out undoes it', () => {
    fc.assert(
      fc.property(shapes, seeds, (shape, seed) => {
        const amounts = integers(2 * shape.length, seed, 3);
        const padding = shape.map((_, axis) => [amounts[2 * axis], amounts[2 * axis + 1]] as const);
        const x = uniform(shape, seed);
        expectGradient(
          [x],
          a => index.pad.forward(a, padding, 7),
          (g, a) => [index.pad.backward(a, padding, g)],
          seed,
        );
        const middle = shape.map((extent, axis) => [padding[axis][0], padding[axis][0] + extent, 1] as const);
        expect(index.slice.forward(index.pad.forward(x, padding, 7), middle)).toEqual(x);
      }),
    );
    expect(index.pad.forward(ref([2], [1, 2]), [[1, 2]], 9)).toEqual(ref([5], [9, 1, 2, 9, 9]));
  });
  it('slice: gradient with steps', () => {
    fc.assert(
      fc.property(shapes, seeds, (shape, seed) => {
        const random = integers(3 * shape.length, seed, 1000);
        const ranges = shape.map((extent, axis) => {
          const start = random[3 * axis] % extent;
          return [start, start + 1 + (random[3 * axis + 1] % (extent - start)), 1 + (random[3 * axis + 2] % 3)] as const;
        });
        expectGradient(
          [uniform(shape, seed)],
          a => index.slice.forward(a, ranges),
          (g, a) => [index.slice.backward(a, ranges, g)],
          seed,
        );
      }),
    );
    expect(index.slice.forward(ref([5], [0, 1, 2, 3, 4]), [[1, 5, 2]])).toEqual(ref([2], [1, 3]));
  });
  it('crop: gradient, and corners outside equal padding first', () => {
    fc.assert(
      fc.property(between(1, 3), between(3, 6), seeds, (batch, size, seed) => {
        const x = uniform([batch, 2, size, size], seed);
        const random = integers(2 * batch, seed, 5);
        const corners = Array.from({ length: batch }, (_, n) => [random[2 * n] - 2, random[2 * n + 1] - 2] as const);
        const window = [size, size] as const;
        const cropped = (a: Ref) => index.crop.forward(a, corners, window);
        expectGradient([x], cropped, (g, a) => [index.crop.backward(a, corners, window, g)], seed);
        const [border, none] = [[2, 2] as const, [0, 0] as const];
        const padded = index.pad.forward(x, [none, none, border, border]);
        const shifted = corners.map(([top, left]) => [top + 2, left + 2] as const);
        expect(index.crop.forward(padded, shifted, window)).toEqual(cropped(x));
      }),
    );
  });
});

describe('gather, scatter, one-hot, concat', () => {
  /** Shape, axis, and an index array whose places along the axis differ within every line. */
  const cases = fc.tuple(shapes, between(0, 3), seeds).map(([shape, whichAxis, seed]) => {
    const axis = whichAxis % shape.length;
    const places = permutation(shape[axis], seed).slice(0, 1 + (seed % shape[axis]));
    const indexShape = shape.map((extent, a) => (a === axis ? places.length : extent));
    const inner = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
    const values = Array.from(ref(indexShape).data, (_, i) => places[Math.floor(i / inner) % places.length]);
    return { shape, axis, places: ref(indexShape, values), seed };
  });
  it('gather: gradient', () => {
    fc.assert(
      fc.property(cases, ({ shape, axis, places, seed }) => {
        const backward = (g: Ref, x: Ref) => [index.gather.backward(x, axis, places, g)];
        expectGradient([uniform(shape, seed)], x => index.gather.forward(x, axis, places), backward, seed);
      }),
    );
  });
  it('scatter and scatter-add: gradients by target and values', () => {
    fc.assert(
      fc.property(cases, ({ shape, axis, places, seed }) => {
        const inputs = [uniform(shape, seed), uniform(places.shape, seed + 1)];
        for (const op of [index.scatter, index.scatterAdd]) {
          const backward = (g: Ref, x: Ref, values: Ref) => op.backward(x, axis, places, values, g);
          expectGradient(inputs, (x, values) => op.forward(x, axis, places, values), backward, seed);
        }
      }),
    );
  });
  it('gather and scatter-add are as in PyTorch, repeated places included', () => {
    const places = fixture.get('gather.index');
    const x = fixture.get('gather.in.x');
    expectClose(index.gather.forward(x, 1, places), fixture.get('gather.out'));
    expectClose(index.gather.backward(x, 1, places, fixture.get('gather.g')), fixture.get('gather.grad.x'));
    const [target, values] = [fixture.get('scatterAdd.in.x'), fixture.get('scatterAdd.in.values')];
    expectClose(index.scatterAdd.forward(target, 1, places, values), fixture.get('scatterAdd.out'));
    const [dx, dValues] = index.scatterAdd.backward(target, 1, places, values, fixture.get('scatterAdd.g'));
    expectClose(dx, fixture.get('scatterAdd.grad.x'));
    expectClose(dValues, fixture.get('scatterAdd.grad.values'));
  });
  it('one-hot', () => {
    expect(index.oneHot.forward([2, 0], 3)).toEqual(ref([2, 3], [0, 0, 1, 1, 0, 0]));
  });
  it('concat: gradient to every part, and by hand', () => {
    fc.assert(
      fc.property(
        shapes,
        between(0, 3),
        fc.array(between(1, 3), { minLength: 1, maxLength: 3 }),
        seeds,
        (shape, whichAxis, extents, seed) => {
          const axis = whichAxis % shape.length;
          const parts = extents.map((extent, i) =>
            uniform(
              shape.map((n, a) => (a === axis ? extent : n)),
              seed + i,
            ),
          );
          expectGradient(
            parts,
            (...all) => index.concat.forward(all, axis),
            (g, ...all) => index.concat.backward(all, axis, g),
            seed,
          );
        },
      ),
    );
    expect(index.concat.forward([ref([2, 1], [1, 2]), ref([2, 2], [3, 4, 5, 6])], 1)).toEqual(ref([2, 3], [1, 3, 4, 2, 5, 6]));
  });
});

describe('selection', () => {
  const values = fc.array(between(-3, 3), { minLength: 1, maxLength: 20 });
  it('the k-th value splits the array, ties by lowest index', () => {
    fc.assert(
      fc.property(values, fc.nat(), (list, pick) => {
        const k = 1 + (pick % list.length);
        const { value, index: position } = select.kthLargest(list, k);
        const before = list.filter((v, i) => v > value || (v === value && i < position));
        expect(before).toHaveLength(k - 1);
        const smallest = select.kthSmallest(list, k);
        expect(list.filter((v, i) => v < smallest.value || (v === smallest.value && i < smallest.index))).toHaveLength(k - 1);
      }),
    );
  });
  it('a top-k mask has exactly k ones, at the k-th value and above', () => {
    fc.assert(
      fc.property(values, fc.nat(), (list, pick) => {
        const k = 1 + (pick % list.length);
        const mask = select.topKMask(ref([list.length], list), k);
        const { value, index: position } = select.kthLargest(list, k);
        expect([...mask.data]).toEqual(list.map((v, i) => (v > value || (v === value && i <= position) ? 1 : 0)));
      }),
    );
    expect([...select.topKMask(ref([4], 0), 2).data]).toEqual([1, 1, 0, 0]);
  });
  it('top-k along the last axis: values, indices, gradient', () => {
    const { values: best, indices } = select.topK.forward(ref([2, 3], [1, 3, 3, 5, 4, 6]), 2);
    expect([best, indices]).toEqual([ref([2, 2], [3, 3, 6, 5]), ref([2, 2], [1, 2, 2, 0])]);
    fc.assert(
      fc.property(shapes, seeds, (shape, seed) => {
        const k = 1 + (seed % shape[shape.length - 1]);
        const backward = (g: Ref, x: Ref) => [select.topK.backward(x, k, g)];
        expectGradient([distinct(shape, seed)], x => select.topK.forward(x, k).values, backward, seed);
      }),
    );
  });
  it('a threshold mask keeps what is strictly above', () => {
    expect([...select.thresholdMask(ref([3], [1, 2, 3]), 2).data]).toEqual([0, 0, 1]);
  });
});
