/** Early-bird tickets and the choice of channels against references that sort, on random scores with ties. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { readState } from '../../src/nn/state.ts';
import { assertChannelsReachable, channelScores, chooseChannels } from '../../src/sparse/channels.ts';
import {
  type BitMask,
  drawMask,
  emergenceThreshold,
  hasEmerged,
  maskDistance,
  ticketScores,
} from '../../src/sparse/early-bird.ts';
import { Random } from '../../src/tensor/philox.ts';
import { testDevice } from '../engine.ts';
import * as reference from '../reference/early-bird.ts';

const device = await testDevice();
const bitsOf = ({ size, bits }: BitMask) => Array.from({ length: size }, (_, i) => ((bits[i >> 3] >> (i & 7)) & 1) === 1);

/** Few distinct values, signs, zeros of both signs, denormals and infinities among them. */
const value = fc.oneof(
  fc.constantFrom(0, -0, 1e-40, -1e-40, 0.5, -0.5, 1),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -3, max: 3 }),
);
const layer = fc.array(value, { minLength: 1, maxLength: 40 }).map(values => Float32Array.from(values));
const layers = fc.array(layer, { minLength: 1, maxLength: 5 });
const density = fc.double({ min: 0.01, max: 1, noNaN: true });

describe('the mask of an epoch', () => {
  it('is of the largest magnitudes of all layers, ties by lowest index', () => {
    fc.assert(
      fc.property(layers, density, (scores, p) => {
        expect(bitsOf(drawMask(scores, p))).toEqual(
          reference.ticket(
            scores.flatMap(s => [...s]),
            p,
          ),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('tells floats apart that differ in their last bits only', () => {
    const near = Float32Array.from({ length: 400 }, (_, i) => (i % 2 ? -1 : 1) * (1 + ((i * 97) % 400) * 2 ** -23));
    for (const p of [0.1, 0.5, 0.9]) expect(bitsOf(drawMask([near], p))).toEqual(reference.ticket([...near], p));
  });

  it('looks at convolutions, or at the gammas of batch norms', async () => {
    const model = createModel(
      'resnet8',
      { device, random: new Random(1) },
      { width: 4, classes: 10, mean: [0, 0, 0], std: [1, 1, 1] },
    );
    const state = await readState(model);
    const sizes = (pruning: 'unstructured' | 'channel') => ticketScores(state, pruning).map(s => s.length);
    const stem = 3 * 4 * 9;
    const convolutions = [stem, 144, 144, 288, 576, 32, 1152, 2304, 128];
    expect(sizes('unstructured')).toEqual(convolutions);
    expect(sizes('channel')).toEqual([4, 4, 4, 8, 8, 16, 16]);
    model.dispose();
  });
});

describe('emergence', () => {
  it('is at the first epoch whose mask differs little enough from each of the four before', () => {
    const drifting = fc.tuple(
      fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 100, maxLength: 100 }),
      fc.array(fc.array(fc.nat(99), { maxLength: 12 }), { minLength: 4, maxLength: 12 }),
      fc.constantFrom('unstructured' as const, 'channel' as const),
    );
    fc.assert(
      fc.property(drifting, ([start, changes, pruning]) => {
        const scores = Float32Array.from(start);
        const masks: BitMask[] = [];
        const plain: boolean[][] = [];
        let found: number | undefined;
        for (const [epoch, places] of changes.entries()) {
          for (const i of places) scores[i] += 7;
          const mask = drawMask([scores], 0.3);
          const distances = masks.map(earlier => maskDistance(mask, earlier));
          masks.push(mask);
          plain.push(reference.ticket([...scores], 0.3));
          expect(distances).toEqual(plain.slice(0, -1).map(earlier => reference.hamming(plain[epoch], earlier)));
          if (found === undefined && hasEmerged(distances, pruning)) found = epoch;
        }
        expect(found).toBe(reference.emergence(plain, emergenceThreshold[pruning]));
      }),
      { numRuns: 200 },
    );
  });

  it('takes a distance of exactly the threshold, and four of them', () => {
    const at = (flips: number) =>
      drawMask([Float32Array.from({ length: 100 }, (_, i) => (i >= flips / 2 && i < 50 + flips / 2 ? 1 : 0))], 0.5);
    const emerged = (pruning: 'unstructured' | 'channel', ...flips: number[]) =>
      hasEmerged(
        flips.map(n => maskDistance(at(n), at(0))),
        pruning,
      );
    expect(emerged('unstructured', 30, 8, 8, 8, 8)).toBe(true);
    expect(emerged('unstructured', 8, 8, 10, 8)).toBe(false);
    expect(emerged('channel', 8, 8, 10, 8)).toBe(true);
    expect(emerged('unstructured', 0, 0, 0)).toBe(false);
  });

  it('compares masks of one network only', () => {
    const mask = (n: number) => drawMask([new Float32Array(n)], 0.5);
    expect(() => maskDistance(mask(8), mask(9))).toThrow('8 and 9');
  });
});

describe('channels', () => {
  it('are chosen by the mean |gamma| of their norms, at least one of each group', () => {
    const group = fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 4 }))
      .chain(([width, norms]) =>
        fc.array(fc.array(value, { minLength: width, maxLength: width }), { minLength: norms, maxLength: norms }),
      );
    fc.assert(
      fc.property(fc.array(group, { minLength: 1, maxLength: 6 }), density, (gammas, p) => {
        const scores = gammas.map(norms =>
          norms[0].map((_, c) => norms.reduce((sum, norm) => sum + Math.abs(norm[c]), 0) / norms.length),
        );
        const { kept, rescued } = chooseChannels(scores, p);
        expect(kept).toEqual(reference.channels(gammas, p));
        const total = scores.flat().length;
        expect(kept.flat().length - rescued.length).toBe(total - Math.trunc((1 - p) * total));
      }),
      { numRuns: 200 },
    );
  });

  it('of a residual stream are scored by all norms that read it', async () => {
    const model = createModel(
      'resnet8',
      { device, random: new Random(1) },
      { width: 2, classes: 10, mean: [0, 0, 0], std: [1, 1, 1] },
    );
    const set = (name: string, values: number[]) => model.parameters().get(name)!.write(values);
    set('blocks.0.bn1.weight', [1, -2]);
    set('blocks.1.bn1.weight', [-3, 0]);
    set('blocks.0.bn2.weight', [5, -6]);
    const [stream, inner] = await channelScores(model.channelGroups());
    expect([stream, inner]).toEqual([
      [2, 1],
      [5, 6],
    ]);
    model.dispose();
  });

  it('refuses a density that does not leave one channel to each layer, naming the nearest', () => {
    expect(() => assertChannelsReachable([8, 8, 16], 0.06)).toThrow(UsageError);
    expect(() => assertChannelsReachable([8, 8, 16], 0.06)).toThrow(
      '--density 0.06 would keep 2 of 32 channels in 3 layers: the nearest that channel pruning reaches is 0.06251',
    );
    expect(() => assertChannelsReachable([8, 8, 16], 0.06251)).not.toThrow();
  });
});
