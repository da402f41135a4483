/** Masks: known densities of PreActResNet-18, exact counts, Flying Bird's invariants, and the decisions of Flying Bird+. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Ref, ref, sizeOf } from '../array.ts';
import { uniform } from '../random.ts';
import * as sparse from '../sparse.ts';

const layers = sparse.preActResNet18Layers(64, 10, 32);
const shapes = layers.map(layer => layer.shape);
const sizes = shapes.map(sizeOf);
const total = sizes.reduce((sum, n) => sum + n, 0);
const seeds = fc.integer({ min: 0, max: 1e6 });
const nnz = (mask: Ref) => mask.data.reduce((sum, value) => sum + value, 0);

describe('PreActResNet-18', () => {
  it('has 21 masked layers, 11 164 352 weights and 555 422 720 multiply-adds on 32 x 32', () => {
    expect([layers.length, total, sparse.multiplyAdds(layers)]).toEqual([21, 11_164_352, 555_422_720]);
  });
  it('costs .516 of the multiply-adds under IGQ at .2, and .2 under uniform', () => {
    const share = (densities: number[]) => sparse.multiplyAdds(layers, densities) / 555_422_720;
    expect(share(sparse.igqDensities(shapes, 0.2))).toBeCloseTo(0.516, 3);
    expect(share(sparse.uniformDensities(shapes, 0.2))).toBeCloseTo(0.2, 12);
  });
});

describe('initial densities', () => {
  it('IGQ at .2 gives the known layer densities', () => {
    const rounded = sparse.igqDensities(shapes, 0.2).map(density => Number(density.toFixed(4)));
    const known = [0.9936, 0.8787, 0.8787, 0.8787, 0.8787, 0.7836, 0.6442, 0.9702, 0.6442, 0.6442, 0.4752, 0.3116, 0.8907];
    expect(rounded).toEqual([...known, 0.3116, 0.3116, 0.1846, 0.1017, 0.6707, 0.1017, 0.1017, 0.9812]);
  });
  const rules = [sparse.uniformDensities, sparse.erkDensities, sparse.erDensities, sparse.igqDensities];
  it('every rule meets the global density with layers between 0 and 1', () => {
    fc.assert(
      fc.property(fc.constantFrom(...rules), fc.double({ min: 0.01, max: 0.99, noNaN: true }), (rule, density) => {
        const densities = rule(shapes, density);
        expect(densities.every(d => d > 0 && d <= 1)).toBe(true);
        const kept = densities.reduce((sum, d, i) => sum + d * sizes[i], 0);
        expect(Math.abs(kept - density * total)).toBeLessThanOrEqual(1);
      }),
    );
  });
  it('ERK and ER are proportional to their ratio below 1', () => {
    const ratios: [typeof sparse.erkDensities, (s: number[]) => number][] = [
      [sparse.erkDensities, s => s.reduce((a, b) => a + b, 0) / sizeOf(s)],
      [sparse.erDensities, ([o, i]) => (o + i) / (o * i)],
    ];
    for (const [rule, ratio] of ratios) {
      const scale = rule(shapes, 0.2).flatMap((density, i) => (density < 1 ? [density / ratio(shapes[i])] : []));
      expect(scale.length).toBeGreaterThan(5);
      for (const e of scale) expect(e / scale[0]).toBeCloseTo(1, 10);
    }
  });
  it('a random mask leaves out exactly int((1 - density) n) weights', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        seeds,
        (size, density, seed) => {
          const mask = sparse.maskFromScores(uniform([size], seed, 0, 1), density);
          expect(size - nnz(mask)).toBe(Math.trunc((1 - density) * size));
        },
      ),
    );
  });
  it('global selection keeps exactly so many, none below one left out, ties by layer and index', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        (lists, pick) => {
          const count = lists.flat().length;
          const keep = pick % (count + 1);
          const masks = sparse.globalTopK(
            lists.map(list => ref([list.length], list)),
            keep,
          );
          const flat = lists.flatMap((list, layer) => list.map((score, i) => ({ score, kept: masks[layer].data[i] === 1 })));
          expect(flat.filter(({ kept }) => kept)).toHaveLength(keep);
          const lowestKept = flat.findLastIndex(
            ({ kept, score }) => kept && score === Math.min(...flat.filter(f => f.kept).map(f => f.score)),
          );
          flat.forEach(({ score, kept }, i) => {
            if (keep > 0 && !kept)
              expect(score < flat[lowestKept].score || (score === flat[lowestKept].score && i > lowestKept)).toBe(true);
          });
        },
      ),
    );
  });
  it('SNIP scores are |w dL/dw|', () => {
    expect([...sparse.snipScores(ref([3], [1, -2, 3]), ref([3], [0.5, 0.5, 0])).data]).toEqual([0.5, 1, 0]);
  });
});

describe('death rate', () => {
  it('goes from .5 to .005, through the middle at half time', () => {
    for (const schedule of ['cosine', 'linear'] as const) {
      const rates = [0, 500, 1000].map(iteration => sparse.deathRate(schedule, iteration, 1000));
      [0.5, 0.2525, 0.005].forEach((expected, i) => {
        expect(rates[i]).toBeCloseTo(expected, 12);
      });
    }
    expect(sparse.deathRate('cosine', 250, 1000)).toBeGreaterThan(sparse.deathRate('linear', 250, 1000));
    expect(sparse.deathRate('constant', 700, 1000)).toBe(0.5);
  });
});

describe('Flying Bird', () => {
  /** A layer with a mask of about half, masked weights and velocity, and a score everywhere. */
  const layerOf = (size: number, seed: number) => {
    const mask = ref(
      [size],
      Array.from(uniform([size], seed).data, value => (value > 0 ? 1 : 0)),
    );
    const masked = (s: number) =>
      ref(
        [size],
        Array.from(uniform([size], s).data, (value, i) => value * mask.data[i]),
      );
    return { mask, weight: masked(seed + 1), velocity: masked(seed + 2), score: uniform([size], seed + 3) };
  };
  const sizesOf = fc.integer({ min: 2, max: 40 });
  const rates = fc.double({ min: 0.005, max: 0.5, noNaN: true });

  it('keeps the number of active weights; grown weights and their velocities are 0, others are untouched', () => {
    fc.assert(
      fc.property(sizesOf, seeds, rates, (size, seed, r) => {
        const { mask, weight, velocity, score } = layerOf(size, seed);
        const after = sparse.flyingBirdUpdate(weight, velocity, mask, score, { r });
        expect(nnz(after.mask)).toBe(nnz(mask));
        after.mask.data.forEach((active, i) => {
          const stays = active === 1 && mask.data[i] === 1;
          expect(after.weight.data[i]).toBe(stays ? weight.data[i] : 0);
          expect(after.velocity.data[i]).toBe(stays ? velocity.data[i] : 0);
        });
      }),
    );
  });
  it('worked by hand: drop, grow, and one that comes back with its value', () => {
    const mask = ref([6], [1, 1, 1, 1, 0, 0]);
    const weight = ref([6], [0.4, -0.1, 0.2, 0.9, 0, 0]);
    const velocity = ref([6], [4, 1, 2, 9, 0, 0]);
    const score = ref([6], [9, -8, 0.1, 0, 0.5, -0.6]);
    const after = sparse.flyingBirdUpdate(weight, velocity, mask, score, { r: 0.5 });
    expect([...after.mask.data]).toEqual([1, 1, 0, 1, 0, 1]);
    expect([...after.weight.data]).toEqual([0.4, -0.1, 0, 0.9, 0, 0]);
    expect([...after.velocity.data]).toEqual([4, 1, 0, 9, 0, 0]);
  });
  it('ties go by lowest index in drop and in growth', () => {
    const mask = ref([6], [1, 1, 1, 0, 0, 0]);
    const after = sparse.flyingBirdUpdate(ref([6], [1, -1, 1, 0, 0, 0]), ref([6]), mask, ref([6], [0, 9, 9, 3, -3, 3]), {
      r: 0.3,
    });
    expect([...after.mask.data]).toEqual([0, 1, 1, 1, 0, 0]);
  });
  it('leaves a dense layer alone, whatever the decisions', () => {
    const dense = ref([4], 1);
    const weight = uniform([4], 1);
    const decisions = { prune: true, grow: true };
    expect(sparse.flyingBirdUpdate(weight, weight, dense, weight, { r: 0.5, decisions })).toEqual({
      weight,
      velocity: weight,
      mask: dense,
    });
  });
  it('pruning loses the extra, growing gains the share, both add up', () => {
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 80 }), seeds, rates, fc.boolean(), fc.boolean(), (size, seed, r, prune, grow) => {
        const { mask, weight, velocity, score } = layerOf(size, seed);
        const before = nnz(mask);
        fc.pre(before < size);
        const after = sparse.flyingBirdUpdate(weight, velocity, mask, score, { r, decisions: { prune, grow } });
        const base = Math.ceil(r * before);
        const lost = prune ? Math.ceil(0.4 * r * before) : 0;
        const gained = grow ? Math.floor(base * 1.05) - base : 0;
        expect(nnz(after.mask)).toBe(Math.max(before - base - lost, 0) + Math.min(base + gained, size));
      }),
    );
  });
});

describe('decisions of Flying Bird+', () => {
  const history = (gaps: number[], valLoss: number[]) => ({ trainRa: gaps, valRa: gaps.map(() => 0), valLoss });
  it('prune when half of the last four differences of the gap rise; standing still does not count', () => {
    expect(sparse.decide(history([0, 1, 2, 1, 0], [5, 4, 3, 2, 1]))).toEqual({ prune: true, grow: false });
    expect(sparse.decide(history([0, 1, 1, 1, 0], [5, 4, 3, 2, 1]))).toEqual({ prune: false, grow: false });
  });
  it('grow when half of the last four differences of the loss do not fall', () => {
    expect(sparse.decide(history([4, 3, 2, 1, 0], [1, 1, 2, 1, 0]))).toEqual({ prune: false, grow: true });
    expect(sparse.decide(history([4, 3, 2, 1, 0], [1, 1, 0.5, 0.4, 0]))).toEqual({ prune: false, grow: false });
  });
  it('only the last four differences count, and both can hold', () => {
    expect(sparse.decide(history([0, 1, 2, 3, 4, 3, 2, 1, 0], [9, 9, 9, 9, 9, 8, 7, 6, 5]))).toEqual({
      prune: false,
      grow: false,
    });
    expect(sparse.decide(history([9, 0, 1, 2, 3, 4], [9, 0, 1, 2, 3, 4]))).toEqual({ prune: true, grow: true });
  });
  it('fewer differences are used as they are; without any nothing is decided', () => {
    expect(sparse.decide(history([0, 1], [1, 0]))).toEqual({ prune: true, grow: false });
    expect(sparse.decide(history([1], [1]))).toEqual({ prune: false, grow: false });
  });
});
