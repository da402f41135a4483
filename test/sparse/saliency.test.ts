/** Initial masks by score on random perceptrons, against float64; what each kind of mask keeps. */
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential } from '../../src/nn/layers.ts';
import { readState } from '../../src/nn/state.ts';
import { Masks, maskedParameters } from '../../src/sparse/masks.ts';
import { graspScores } from '../../src/sparse/saliency/grasp.ts';
import { initialiseBySaliency, type Saliency, saliencies } from '../../src/sparse/saliency/index.ts';
import { globalCount, type Scores } from '../../src/sparse/saliency/scores.ts';
import { snipScores } from '../../src/sparse/saliency/snip.ts';
import { thinWidth } from '../../src/sparse/small-dense.ts';
import { Random } from '../../src/tensor/philox.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { checkForward, checkSecondGradient, fromRef, random, testDevice, toRef } from '../engine.ts';
import { type Ref, ref } from '../reference/array.ts';
import * as reference from '../reference/saliency.ts';
import { globalTopK } from '../reference/sparse.ts';

const device = await testDevice();
const shape = [2, 3, 3];
const labels = [0, 3, 1, 2, 3];

/** A perceptron of random size with its reference, and a batch. */
async function perceptron(seed: number) {
  const make = { device, random: new Random(seed) };
  const [hidden, classes] = [5 + (seed % 7), 4];
  const model = new Sequential(new Flatten(), new Linear(make, 18, hidden), new ReLU(), new Linear(make, hidden, classes));
  const state = await readState(model);
  const of = (name: string) => ref(state.get(name)!.shape, state.get(name)!.data);
  const plain = { w1: of('1.weight'), b1: of('1.bias'), w2: of('3.weight'), b2: of('3.bias') };
  const x = random([labels.length, ...shape], seed + 100, 0, 1);
  const samples = [{ images: fromRef(device, x), labels: tensor(device, labels, [labels.length], 'i32') }];
  return { model, plain, x, samples, flat: ref([labels.length, 18], x.data) };
}

/** The images of a batch in two, of four and of one. */
const inTwo = (x: Ref) =>
  [
    [0, 4],
    [4, 5],
  ].map(([from, to]) => ({
    images: fromRef(device, ref([to - from, ...shape], x.data.slice(18 * from, 18 * to))),
    labels: tensor(device, labels.slice(from, to), [to - from], 'i32'),
  }));

/** Numbers of 1e-9: of one size for the comparison, which measures small ones against a tenth. */
async function checkGrasp(found: Scores, expected: Ref[]): Promise<void> {
  const scale = 1 / Math.max(...expected.flatMap(e => [...e.data].map(Math.abs)));
  const scaled = (r: Ref) =>
    ref(
      r.shape,
      r.data.map(v => v * scale),
    );
  for (const [i, name] of ['1.weight', '3.weight'].entries())
    checkSecondGradient('grasp', scaled(await toRef(found.get(name)!)), scaled(expected[i]), 1e-3);
}

async function maskOf(
  seed: number,
  how: Saliency,
  density: number,
): Promise<{ masks: Ref[]; made: Awaited<ReturnType<typeof perceptron>> }> {
  const made = await perceptron(seed);
  const masks = new Masks(made.model, seed);
  await initialiseBySaliency(masks, how, { model: made.model, samples: made.samples, shape, density });
  const found = [await toRef(masks.masks.get('1.weight')!), await toRef(masks.masks.get('3.weight')!)];
  expect(masks.density()).toBeCloseTo(found.flatMap(m => [...m.data]).reduce((a, b) => a + b, 0) / totalOf(found), 12);
  return { masks: found, made };
}

const totalOf = (refs: readonly Ref[]) => refs.reduce((n, r) => n + r.data.length, 0);
const seeds = [1, 2, 3, 4, 5, 6];

describe('scores on random networks', () => {
  it.each(seeds)('SNIP: |w·dL/dw|, network %i', async seed => {
    const { model, plain, flat, samples } = await perceptron(seed);
    const found = await snipScores(model, maskedParameters(model), samples);
    const expected = reference.snip(plain, flat, labels);
    checkForward('snip', await toRef(found.get('1.weight')!), expected[0], 1e-5);
    checkForward('snip', await toRef(found.get('3.weight')!), expected[1], 1e-5);
  });

  it.each(seeds)('GraSP: w·Hg with the exact product, network %i', async seed => {
    const { model, plain, flat, samples } = await perceptron(seed);
    const found = await graspScores(model, maskedParameters(model), samples);
    await checkGrasp(found, reference.grasp(plain, flat, labels));
  });

  it.each([1, 2])('of batches of several sizes: those of the mean over all samples, network %i', async seed => {
    const { model, plain, x, flat } = await perceptron(seed);
    const weights = maskedParameters(model);
    const found = await snipScores(model, weights, inTwo(x));
    const expected = reference.snip(plain, flat, labels);
    checkForward('snip', await toRef(found.get('1.weight')!), expected[0], 1e-5);
    checkForward('snip', await toRef(found.get('3.weight')!), expected[1], 1e-5);
    await checkGrasp(await graspScores(model, weights, inTwo(x)), reference.grasp(plain, flat, labels));
  });

  it.each([1, 2])('SynFlow: the mask after 100 steps, network %i', async seed => {
    const { masks, made } = await maskOf(seed, 'synflow', 0.2);
    expect(masks).toEqual(reference.synflow(made.plain, 0.2));
  });
});

describe('masks by score', () => {
  it.each(Object.keys(saliencies) as Saliency[])(
    '%s keeps exactly n - int((1 - p) n) of all weights, and these as they were',
    async how => {
      for (const density of how === 'synflow' ? [0.3] : [0.05, 0.3, 1]) {
        const { masks, made } = await maskOf(3, how, density);
        const kept = masks.flatMap(m => [...m.data]).reduce((a, b) => a + b, 0);
        expect(kept).toBe(globalCount(totalOf(masks), density));
        const now = await readState(made.model);
        for (const [i, [name, was]] of [['1.weight', made.plain.w1] as const, ['3.weight', made.plain.w2] as const].entries())
          expect([...now.get(name)!.data]).toEqual([...was.data].map((w, k) => w * masks[i].data[k]));
        expect([...now.get('1.bias')!.data]).toEqual([...made.plain.b1.data]);
      }
    },
  );

  it('magnitude keeps the largest of all layers', async () => {
    const { masks, made } = await maskOf(4, 'magnitude', 0.25);
    const sizes = [made.plain.w1, made.plain.w2].map(w => ref(w.shape, w.data.map(Math.abs)));
    expect(masks).toEqual(globalTopK(sizes, globalCount(totalOf(sizes), 0.25)));
  });

  it.each(['snip', 'grasp', 'synflow'] as const)('%s leaves running statistics and the mode as they were', async how => {
    const make = { device, random: new Random(8) };
    const model = new Sequential(
      new Conv2d(make, 2, 3, 3),
      new BatchNorm2d(make, 3),
      new ReLU(),
      new Flatten(),
      new Linear(make, 3, 4),
    );
    model.train();
    const before = await readState(model);
    const { samples } = await perceptron(8);
    const masks = new Masks(model, 1);
    await initialiseBySaliency(masks, how, { model, samples, shape, density: 0.5 });
    const after = await readState(model);
    for (const [name, { data }] of before) if (!masks.masks.has(name)) expect([...after.get(name)!.data]).toEqual([...data]);
    expect(model.training).toBe(true);
    masks.dispose();
    model.dispose();
  });

  it('refuses a density that keeps nothing, naming the nearest', async () => {
    await expect(maskOf(1, 'magnitude', 1e-4)).rejects.toThrow(UsageError);
    await expect(maskOf(1, 'magnitude', 1e-4)).rejects.toThrow(/--density 0.0001 would keep .* the nearest .* is 0\.00/);
  });
});

describe('small-dense', () => {
  const weights = (w: number) => 3 * 9 * w + 40 * w * w + 10 * w;

  it('finds the width with the nearest weight count', () => {
    for (const scale of [0.1, 0.2, 0.5, 0.9, 1]) {
      const found = thinWidth(weights, 64, scale);
      const miss = (w: number) => Math.abs(weights(w) - scale * weights(64));
      for (let w = 1; w <= 64; w++) expect(miss(found)).toBeLessThanOrEqual(miss(w));
    }
  });

  it('finds it among the multiples of a unit', () => {
    const asked: number[] = [];
    const count = (w: number) => {
      asked.push(w);
      return weights(w);
    };
    for (const scale of [0.1, 0.3, 0.6, 1]) {
      const found = thinWidth(count, 256, scale, 4);
      const miss = (w: number) => Math.abs(weights(w) - scale * weights(256));
      expect(found % 4).toBe(0);
      for (let w = 4; w <= 256; w += 4) expect(miss(found)).toBeLessThanOrEqual(miss(w));
    }
    expect(asked.every(w => w % 4 === 0)).toBe(true);
  });

  it('says the nearest where none is near', () => {
    expect(() => thinWidth(weights, 4, 0.5)).toThrow(/--scale 0.5: .*; the nearest is 0\.\d+, at width 3 instead of 4/);
  });
});
