/** Layer densities, and the numbers of an update, against rules written separately; the known densities of PreActResNet-18. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { assertChannelsReachable } from '../../src/sparse/channels.ts';
import { assertReachable, type Initialiser, initialisers, keptCount, layerDensities } from '../../src/sparse/densities/index.ts';
import { inferenceMacs, passesPerImage } from '../../src/sparse/flops.ts';
import { type Decay, deathRate, decide, updateCounts } from '../../src/sparse/flying-bird.ts';
import { between } from '../engine.ts';
import { sizeOf } from '../reference/array.ts';
import * as reference from '../reference/sparse.ts';

const rules: Record<Initialiser, typeof reference.igqDensities> = {
  igq: reference.igqDensities,
  uniform: reference.uniformDensities,
  erk: reference.erkDensities,
  er: reference.erDensities,
};
const layersOf = (shapes: readonly number[][]) => shapes.map((shape, i) => ({ name: `${i}`, shape, size: sizeOf(shape) }));
const resnet18 = reference.preActResNet18Layers(64, 10, 32);

/** Networks of convolutions and linear layers. */
const convolution = fc.tuple(between(1, 40), between(1, 40), between(1, 3)).map(([o, i, k]) => [o, i, k, k]);
const networks = fc.array(fc.oneof(convolution, fc.tuple(between(1, 60), between(1, 60))), { minLength: 1, maxLength: 12 });
const densities = fc.double({ min: 0.01, max: 0.99, noNaN: true });

describe('densities of random networks', () => {
  it.each(initialisers)('%s: those of the reference, none above 1, all together the one asked for', how => {
    fc.assert(
      fc.property(networks, densities, (shapes, density) => {
        const layers = layersOf(shapes);
        const total = layers.reduce((n, l) => n + l.size, 0);
        fc.pre(total * (1 - density) >= 1 && total * density >= 1); // IGQ is free to differ by one weight
        const found = layerDensities(layers, density, how);
        const expected = rules[how](shapes, density);
        found.forEach((d, i) => {
          expect(d).toBeCloseTo(expected[i], 12);
          expect(d).toBeLessThanOrEqual(1);
          expect(keptCount(layers[i].size, d)).toBe(reference.activeCount(layers[i].size, d));
        });
        const kept = found.reduce((n, d, i) => n + d * layers[i].size, 0);
        expect(Math.abs(kept - density * total)).toBeLessThanOrEqual(how === 'igq' ? 1 : 1e-6 * total);
      }),
      { numRuns: 200 },
    );
  });

  it('a layer keeps n - int((1 - density) n)', () => {
    expect([keptCount(10, 0.25), keptCount(10, 1), keptCount(3, 0.5), keptCount(1, 0.01)]).toEqual([3, 10, 2, 1]);
  });

  it.each([0, -0.1, 1.01, Number.NaN])('a density of %d is refused', density => {
    expect(() => layerDensities(layersOf([[2, 2]]), density, 'igq')).toThrow(UsageError);
  });
});

describe('PreActResNet-18', () => {
  const layers = layersOf(resnet18.map(l => l.shape));

  it('has under IGQ at .2 the known densities, to four digits', () => {
    const found = layerDensities(layers, 0.2, 'igq').map(d => Number(d.toFixed(4)));
    const known = [0.9936, 0.8787, 0.8787, 0.8787, 0.8787, 0.7836, 0.6442, 0.9702, 0.6442, 0.6442, 0.4752, 0.3116, 0.8907];
    expect(found).toEqual([...known, 0.3116, 0.3116, 0.1846, 0.1017, 0.6707, 0.1017, 0.1017, 0.9812]);
  });

  it('costs at these densities what the reference counts', () => {
    const found = layerDensities(layers, 0.2, 'igq');
    const macs = new Map(resnet18.map((l, i) => [`${i}`, sizeOf(l.shape) * l.positions]));
    const work = inferenceMacs(macs, name => found[Number(name)]);
    expect(work.dense).toBe(555_422_720);
    expect(work.real).toBeCloseTo(reference.multiplyAdds(resnet18, found), 3);
    expect([passesPerImage(0), passesPerImage(10)]).toEqual([3, 23]);
  });
});

describe('the numbers of an update', () => {
  const rates = fc.double({ min: 0, max: 1, noNaN: true });
  const ratios = fc.record({ pruneRatio: fc.double({ min: 0, max: 2, noNaN: true }), growthRatio: rates });
  const counts = fc.tuple(between(1, 5000), between(0, 5000)).map(([size, n]) => ({ size, nnz: Math.min(n, size) }));
  const decisions = fc.record({ prune: fc.boolean(), grow: fc.boolean() });

  it('Flying Bird grows exactly what it drops, ceil(r nnz); a dense layer is left alone', () => {
    fc.assert(
      fc.property(counts, rates, ratios, ({ size, nnz }, r, ratio) => {
        const { drop, grow } = updateCounts(nnz, size, r * nnz, { prune: false, grow: false }, ratio);
        expect([drop, grow]).toEqual(nnz === size ? [0, 0] : [Math.ceil(r * nnz), Math.ceil(r * nnz)]);
      }),
    );
  });

  it('Flying Bird+ drops ceil(.4 r nnz) more when pruning and grows 1.05 times when growing, as far as there are weights', () => {
    fc.assert(
      fc.property(counts, rates, ratios, decisions, ({ size, nnz }, r, ratio, decided) => {
        const { drop, grow } = updateCounts(nnz, size, r * nnz, decided, ratio);
        const base = nnz === size ? 0 : Math.ceil(r * nnz);
        const extra = base && decided.prune ? Math.ceil(ratio.pruneRatio * (r * nnz)) : 0;
        expect(drop).toBe(Math.min(nnz, base + extra));
        const wanted = decided.grow ? Math.floor(base * (1 + ratio.growthRatio)) : base;
        expect(grow).toBe(Math.min(wanted, size - nnz + drop));
      }),
    );
  });

  it('the death rate falls as in the reference, and stays at its end', () => {
    const decays = fc.constantFrom<Decay>('cosine', 'linear', 'constant');
    fc.assert(
      fc.property(decays, rates, between(1, 1e5), rates, (decay, initial, total, part) => {
        const iteration = Math.floor(part * total);
        const end = Math.min(initial, 0.005); // a rate that begins lower does not rise
        expect(deathRate(initial, iteration, total, decay)).toBeCloseTo(
          reference.deathRate(decay, iteration, total, initial, end),
          12,
        );
        expect(deathRate(initial, total + 5, total, decay)).toBeCloseTo(decay === 'constant' ? initial : end, 12);
      }),
    );
  });

  it('decisions are those of the reference, equal values and short histories included', () => {
    const value = between(0, 4).map(n => n / 4);
    const epochs = fc.array(fc.record({ trainRa: value, valRa: value, valLoss: value }), { maxLength: 9 });
    fc.assert(
      fc.property(epochs, between(1, 6), fc.constantFrom(0, 0.25, 0.5, 1), (history, range, threshold) => {
        const column = (key: 'trainRa' | 'valRa' | 'valLoss') => history.map(e => e[key]);
        const columns = { trainRa: column('trainRa'), valRa: column('valRa'), valLoss: column('valLoss') };
        expect(decide(history, range, threshold)).toEqual(reference.decide(columns, range, threshold));
      }),
      { numRuns: 500 },
    );
  });
});

describe('the nearest density, where the one that is asked for cannot be reached,', () => {
  /** What a refusal names. */
  const nearest = (refusal: () => void): number => {
    try {
      refusal();
    } catch (error) {
      return Number(/ reaches is (\S+)$/.exec((error as Error).message)![1]);
    }
    throw new Error('nothing was refused');
  };

  it('is accepted, and hardly larger than the smallest that is: of weights', () => {
    fc.assert(
      fc.property(between(1, 3e7), between(1, 60), (size, least) => {
        fc.pre(least <= size);
        const layers = [{ name: 'a', shape: [size], size }];
        const found = nearest(() => assertReachable(layers, (0.99 * least) / size, least));
        assertReachable(layers, found, least);
        expect(found).toBeLessThan((least / size) * 1.0011);
      }),
    );
  });

  it('of channels', () => {
    fc.assert(
      fc.property(fc.array(between(1, 300), { minLength: 2, maxLength: 40 }), widths => {
        const total = widths.reduce((a, b) => a + b, 0);
        const found = nearest(() => assertChannelsReachable(widths, 1e-9));
        assertChannelsReachable(widths, found);
        expect(found).toBeLessThan(((widths.length - 1) / total) * 1.0011);
      }),
    );
  });
});
