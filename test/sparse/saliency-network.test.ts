/** Initial masks by score on PreActResNet-18s of random weights, with batch norms that are not trivial, against float64. */
import { describe, expect, it } from 'vitest';
import { createModel } from '../../src/nn/models/index.ts';
import { readState, writeState } from '../../src/nn/state.ts';
import { Masks, maskedParameters } from '../../src/sparse/masks.ts';
import { graspScores } from '../../src/sparse/saliency/grasp.ts';
import { initialiseBySaliency } from '../../src/sparse/saliency/index.ts';
import type { Scores } from '../../src/sparse/saliency/scores.ts';
import { snipScores } from '../../src/sparse/saliency/snip.ts';
import { synflowScores } from '../../src/sparse/saliency/synflow.ts';
import { Random } from '../../src/tensor/philox.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { fromRef, random, testDevice, toRef } from '../engine.ts';
import { type Ref, ref } from '../reference/array.ts';
import { hashedImages, hashedState, readFixture, sample } from '../reference/fixture.ts';
import type { State } from '../reference/model.ts';
import * as reference from '../reference/saliency.ts';

const device = await testDevice();
const shape = [3, 16, 16];
const labels = [0, 3, 1, 2, 3, 1];
const channels = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const seeds = [1, 2];

/** A network of random weights, gammas and betas of both signs, its state in float64, and a batch. */
async function network(seed: number) {
  const model = createModel('resnet18', { device, random: new Random(seed) }, { width: 2, classes: 4, ...channels });
  for (const [i, [name, t]] of [...model.state()].entries()) {
    if (t.rank !== 1) continue;
    const [low, high] = name.endsWith('running_var') ? [0.5, 2] : /bn\d?\.weight/.test(name) ? [0.5, 1.5] : [-0.5, 0.5];
    t.write(random(t.shape, 100 * seed + i, low, high).data);
  }
  const state: State = {};
  for (const [name, { shape: s, data }] of await readState(model)) state[name] = ref(s, data);
  const x = random([labels.length, ...shape], seed, 0, 1);
  const samples = [{ images: fromRef(device, x), labels: tensor(device, labels, [labels.length], 'i32') }];
  return { model, state, x, samples };
}

/** The largest difference, relative to the largest value of all layers: masks compare the scores of all layers. */
async function difference(found: Scores, expected: State): Promise<number> {
  expect([...found.keys()]).toEqual(Object.keys(expected));
  let [most, largest] = [0, 0];
  for (const [name, t] of found) {
    const { data } = await toRef(t);
    data.forEach((v, i) => {
      most = Math.max(most, Math.abs(v - expected[name].data[i]));
      largest = Math.max(largest, Math.abs(expected[name].data[i]));
    });
  }
  return most / largest;
}

describe('scores of networks with batch norms', () => {
  it.each(seeds)('SNIP: |w·dL/dw| with batch statistics, network %i', async seed => {
    const { model, state, x, samples } = await network(seed);
    const found = await snipScores(model, maskedParameters(model), samples);
    expect(await difference(found, reference.snipNetwork(state, x, labels))).toBeLessThan(1e-4);
    model.dispose();
  });

  it.each(seeds)('GraSP: w·Hg through batch statistics, network %i', async seed => {
    const { model, state, x, samples } = await network(seed);
    const found = await graspScores(model, maskedParameters(model), samples);
    expect(await difference(found, reference.graspNetwork(state, x, labels))).toBeLessThan(2e-3);
    model.dispose();
  });

  it.each(seeds)(
    'SynFlow: |w|·dR/d|w| with the absolute values of weights, biases and running statistics, network %i',
    async seed => {
      const { model, state } = await network(seed);
      const found = await synflowScores(model, maskedParameters(model), shape, 0.1, 1);
      expect(await difference(found, reference.synflowNetwork(state, shape, 0.1, 1).scores)).toBeLessThan(1e-5);
      model.dispose();
    },
  );
});

/** Second derivatives of every kind of layer: of max pooling and biases in a VGG, of wide blocks. */
it.each([
  ['resnet34', { width: 2 }],
  ['vgg13_bn', { width: 2 }],
  ['wideresnet', { width: 8, depthFactor: 28, widthFactor: 2 }],
] as const)("GraSP on %s %j: PyTorch's w·Hg", async (arch, options) => {
  const fixture = readFixture('depths');
  const seed = fixture.meta<Record<string, number>>('seeds')[arch];
  const model = createModel(arch, { device, random: new Random(1) }, { ...options, classes: 5, ...channels });
  writeState(model, hashedState(model.state(), seed));
  const samples = [{ images: fromRef(device, hashedImages(4, 32, seed)), labels: tensor(device, [0, 1, 2, 3], [4], 'i32') }];
  const found: Float64Array[] = [];
  for (const t of (await graspScores(model, maskedParameters(model), samples)).values()) found.push((await toRef(t)).data);
  const largest = found.reduce((most, data) => data.reduce((a, b) => Math.max(a, Math.abs(b)), most), 0);
  const thinned = found.flatMap(data => [...sample(data, 16)]);
  const expected = [...fixture.get(`${arch}.grasp`).data];
  expect(thinned.length).toBe(expected.length);
  expect(Math.max(...thinned.map((v, i) => Math.abs(v / largest - expected[i])))).toBeLessThan(1e-3);
  model.dispose();
});

it('the mask of SynFlow after 100 steps, but for weights whose scores rounding does not tell apart', async () => {
  const { model, state, samples } = await network(4);
  const masks = new Masks(model, 1);
  const small = [3, 8, 8];
  await initialiseBySaliency(masks, 'synflow', { model, samples, shape: small, density: 0.1 });
  const expected = reference.synflowNetwork(state, small, 0.1, 100).masks;
  let [differing, total] = [0, 0];
  for (const [name, mask] of masks.masks) {
    const found: Ref = await toRef(mask);
    differing += found.data.filter((m, i) => m !== expected[name].data[i]).length;
    total += found.data.length;
  }
  expect(differing / total).toBeLessThan(1e-3);
  masks.dispose();
  model.dispose();
});
