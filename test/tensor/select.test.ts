/** Exact selection on the device: what every mask is made with. Nothing here has a tolerance. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mul } from '../../src/tensor/elementwise.ts';
import { kthLargest, type SelectOptions, selectMask, selectMasks } from '../../src/tensor/select.ts';
import { scope, zeros } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { map, type Ref, ref } from '../reference/array.ts';
import { integers } from '../reference/random.ts';
import { rankAscending, rankDescending, kthLargest as referenceKth } from '../reference/select.ts';

const device = await testDevice();

type By = NonNullable<SelectOptions['by']>;
const ways: By[] = ['value', 'magnitude', 'smallest', 'smallestMagnitude'];

/** 1 for the k best of the eligible elements, by the reference's sort. */
function expectedMask(x: Ref, k: number, by: By, eligible: (i: number) => boolean = () => true): Ref {
  const scores = by.endsWith('agnitude') ? x.data.map(Math.abs) : x.data;
  const order = by.startsWith('smallest') ? rankAscending(scores) : rankDescending(scores);
  const y = ref(x.shape);
  for (const i of order.filter(eligible).slice(0, k)) y.data[i] = 1;
  return y;
}

/** Smooth values, values with very many ties, and values of all magnitudes. */
const values = fc.constantFrom(
  (n: number, seed: number) => random([n], seed),
  (n: number, seed: number) => map(random([n], seed), v => Math.round(v * 2)),
  (n: number, seed: number) =>
    ref(
      [n],
      Float32Array.from(random([n], seed).data, (v, i) => v * 10 ** (((i * 7) % 60) - 30)),
    ),
);

describe('selectMask', () => {
  it.each(ways)('by %s', async by => {
    const cases = between(1, 3000).chain(n =>
      fc.record({ n: fc.constant(n), k: fc.oneof(fc.constant(0), fc.constant(n), between(0, n)), make: values, seed: seeds }),
    );
    await forAll(cases, async ({ n, k, make, seed }) => {
      const x = make(n, seed);
      const [y] = await run(device, [x], t => selectMask(t, k, { by }));
      checkForward('selectMask', y, expectedMask(x, k, by), 0);
    });
  });

  it('of several tensors together, ties to the earlier one', async () => {
    const cases = fc.record({ sizes: fc.array(between(1, 2500), { minLength: 1, maxLength: 4 }), make: values, seed: seeds });
    await forAll(fc.tuple(cases, fc.double({ min: 0, max: 1, noNaN: true })), async ([{ sizes, make, seed }, part]) => {
      const total = sizes.reduce((a, b) => a + b, 0);
      const k = Math.round(part * total);
      const together = make(total, seed);
      const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
      const of = (whole: Ref) => sizes.map((n, i) => ref([n], whole.data.slice(starts[i], starts[i] + n)));
      const found = await run(device, of(together), (...xs) => selectMasks(xs, k));
      of(expectedMask(together, k, 'value')).forEach((expected, i) => {
        checkForward('selectMasks', found[i], expected, 0);
      });
    });
  });

  it.each(['active', 'inactive'] as const)('among the %s, also with fewer of them than wanted', async is => {
    const cases = fc.record({
      n: between(1, 500),
      share: fc.constantFrom(0, 0.1, 0.5, 1),
      by: fc.constantFrom(...ways),
      make: values,
      seed: seeds,
    });
    await forAll(fc.tuple(cases, fc.double({ min: 0, max: 1, noNaN: true })), async ([{ n, share, by, make, seed }, part]) => {
      const x = make(n, seed);
      const mask = map(random([n], seed + 1, 0, 1), v => (v < share ? 1 : 0));
      const k = Math.round(part * n);
      const [y] = await run(device, [x, mask], (t, m) => selectMask(t, k, { by, among: { mask: m, is } }));
      const eligible = (i: number) => (mask.data[i] !== 0) === (is === 'active');
      checkForward('selectMask', y, expectedMask(x, k, by, eligible), 0);
    });
  });

  it('among equal values the lowest indices, up to a million elements', async () => {
    const n = 1_000_003;
    const x = ref([n], integers(n, 1, 5));
    const k = 300_000;
    const [y] = await run(device, [x], t => selectMask(t, k));
    checkForward('selectMask', y, expectedMask(x, k, 'value'), 0);
  });

  it('a hundred thousand distinct weights at density 0.2', async () => {
    const x = random([100_003], 2);
    const [y] = await run(device, [x], t => selectMask(t, 20_001, { by: 'magnitude' }));
    checkForward('selectMask', y, expectedMask(x, 20_001, 'magnitude'), 0);
  });

  it('0 and -0 are equal, and lie between the smallest numbers', async () => {
    const x = ref([6], [-1e-30, 0, -0, 1e-30, -0, 0]);
    for (const by of ways) {
      for (let k = 0; k <= 6; k++) {
        const [y] = await run(device, [x], t => selectMask(t, k, { by }));
        expect([by, k, ...y.data]).toEqual([by, k, ...expectedMask(x, k, by).data]);
      }
    }
  });

  it('subnormals are in order, or all equal to 0 on an adapter that flushes them', async () => {
    const tiny = ref([5], Float32Array.from([3e-45, 1e-39, -1e-39, 1.4e-45, 0]));
    const flushes = (await run(device, [tiny], t => mul(t, 1)))[0].data.every(v => v === 0);
    const flushed = map(tiny, () => 0);
    for (const by of ways) {
      const [y] = await run(device, [tiny], t => selectMask(t, 2, { by }));
      const allowed = [expectedMask(tiny, 2, by), ...(flushes ? [expectedMask(flushed, 2, by)] : [])].map(m => [...m.data]);
      expect(allowed).toContainEqual([...y.data]);
    }
  });

  it('infinities are the extremes; NaN ranks first whatever is wanted', async () => {
    const x = ref([6], [1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -2, Number.NaN]);
    const chosen = async (k: number, by: By) => {
      const [y] = await run(device, [x], t => selectMask(t, k, { by }));
      return [...y.data.keys()].filter(i => y.data[i] === 1);
    };
    expect(await chosen(3, 'value')).toEqual([1, 2, 5]);
    expect(await chosen(3, 'smallest')).toEqual([1, 3, 5]);
    expect(await chosen(4, 'magnitude')).toEqual([1, 2, 3, 5]);
    expect(await chosen(3, 'smallestMagnitude')).toEqual([0, 1, 5]);
  });

  it('keeps the shape, and refuses no count', async () => {
    const [y] = await run(device, [random([2, 3, 4], 1)], t => selectMask(t, 5));
    expect([y.shape, y.data.reduce((a, b) => a + b, 0)]).toEqual([[2, 3, 4], 5]);
    expect(() => scope(device, () => selectMask(zeros(device, [2]), -1))).toThrow('a count is wanted');
    expect(() => scope(device, () => selectMask(zeros(device, [2]), 0.5))).toThrow('a count is wanted');
    expect(() =>
      scope(device, () => selectMask(zeros(device, [2]), 1, { among: { mask: zeros(device, [3]), is: 'active' } })),
    ).toThrow('mask of shape [3]');
  });
});

describe('kthLargest', () => {
  it('is the k-th of the sorted values', async () => {
    const cases = between(1, 2000).chain(n => fc.record({ n: fc.constant(n), k: between(1, n), make: values, seed: seeds }));
    await forAll(cases, async ({ n, k, make, seed }) => {
      const x = make(n, seed);
      const [y] = await run(device, [x], t => kthLargest(t, k));
      checkForward('kthLargest', y, ref([1], [referenceKth(x.data, k).value]), 0);
    });
  });

  it('refuses a k that does not exist', () => {
    expect(() => scope(device, () => kthLargest(zeros(device, [2]), 3))).toThrow('the 3-th largest of 2');
    expect(() => scope(device, () => kthLargest(zeros(device, [2]), 0))).toThrow('the 0-th largest of 2');
  });
});
