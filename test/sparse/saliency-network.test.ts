/** Initial masks by score on PreActResNet-18s of random weights, with batch norms that are not trivial, against float64. */
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { readState, writeState } from '../../src/nn/state.ts';
import { Masks, maskedParameters } from '../../src/sparse/masks.ts';
import { graspScores } from '../../src/sparse/saliency/grasp.ts';
import { initialiseBySaliency } from '../../src/sparse/saliency/index.ts';
import { globalCount, keepLargest, type Scores, totals } from '../../src/sparse/saliency/scores.ts';
import { snipScores } from '../../src/sparse/saliency/snip.ts';
import { synflowScores } from '../../src/sparse/saliency/synflow.ts';
import { Random } from '../../src/tensor/philox.ts';
import { ones, scope, tensor } from '../../src/tensor/tensor.ts';
import { fromRef, random, testDevice, toRef } from '../engine.ts';
import { type Ref, ref, zip } from '../reference/array.ts';
import { hashedImages, hashedState, readFixture, sample } from '../reference/fixture.ts';
import type { State } from '../reference/model.ts';
import * as reference from '../reference/saliency.ts';

const device = await testDevice();
const shape = [3, 16, 16];
const labels = [0, 3, 1, 2, 3, 1];
const channels = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const seeds = [1, 2];

/**
 * A network of random weights, gammas and betas of both signs, its state in float64, and a batch.
 * @param growth the powers of ten that convolutions multiply their weights by, and by which betas and running means grow towards the last layer
 */
async function network(seed: number, growth = { weights: 0, shifts: 0 }) {
  const model = createModel('resnet18', { device, random: new Random(seed) }, { width: 2, classes: 4, ...channels });
  const all = [...model.state()];
  for (const [i, [name, t]] of all.entries()) {
    const isShift = /bias|running_mean/.test(name);
    const factor = 10 ** (t.rank === 4 ? growth.weights : isShift ? (growth.shifts * i) / all.length : 0);
    const [low, high] = isShift ? [-0.5, 0.5] : name.endsWith('running_var') ? [0.5, 2] : [0.5, 1.5];
    const values = t.rank === 1 ? random(t.shape, 100 * seed + i, low, high) : await toRef(t);
    t.write(values.data.map(v => v * factor));
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

const zipped = (a: Ref, b: Ref) => [...a.data].map((v, i): [number, number] => [v, b.data[i]]);

/** The largest relative error of scores that are known but for a common factor, which those of the largest expected one give. */
async function disproportion(found: Scores, expected: State): Promise<number> {
  expect([...found.keys()]).toEqual(Object.keys(expected));
  const pairs: [found: number, expected: number][] = [];
  for (const [name, t] of found) pairs.push(...zipped(await toRef(t), expected[name]));
  const [first, second] = pairs.reduce((a, b) => (a[1] > b[1] ? a : b));
  return pairs.reduce((worst, [v, e]) => Math.max(worst, Math.abs(v / first - e / second) / (e / second || 1)), 0);
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
      expect(await disproportion(found, reference.synflowNetwork(state, shape, 0.1, 1).scores)).toBeLessThan(1e-5);
      model.dispose();
    },
  );

  it('SynFlow of a flow that float32 cannot hold, through biases and running means that grow with it', async () => {
    const { model, state } = await network(3, { weights: 3, shifts: 36 });
    const wanted = reference.synflowNetwork(state, shape, 0.1, 1).scores;
    const flow = wanted['linear.weight'].data.reduce((a, b) => a + b, 0);
    expect(flow).toBeGreaterThan(1e50);
    const found = await synflowScores(model, maskedParameters(model), shape, 0.1, 1);
    expect(await disproportion(found, wanted)).toBeLessThan(1e-5);
    model.dispose();
  });
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

it.each([
  ['resnet8', { width: 4 }, [3, 16, 16]],
  ['vgg11_bn', { width: 2 }, [3, 32, 32]],
  ['wideresnet', { width: 4, depthFactor: 10, widthFactor: 2 }, [3, 16, 16]],
] as const)('SynFlow on %s %j: what the plain gradient of R says, where float32 can hold it', async (arch, options, size) => {
  const model = createModel(arch, { device, random: new Random(1) }, { ...options, classes: 5, ...channels });
  const values = hashedState(model.state(), 7);
  writeState(model, values);
  const weights = maskedParameters(model);
  const scores = await synflowScores(model, weights, size, 0.1, 1);
  for (const [name, { data }] of await readState(model)) expect(data).toEqual(values.get(name)!.data);
  for (const [name, t] of model.state()) t.write(values.get(name)!.data.map(Math.abs));
  model.eval();
  const gradients = scope(device, () => F.grad(F.sum(model.forward(ones(device, [1, ...size]))), [...weights.values()]));
  const plain: State = {};
  for (const [i, [name, w]] of [...weights].entries())
    plain[name] = zip(await toRef(w), await toRef(gradients[i]), (a, b) => a * b);
  expect(await disproportion(scores, plain)).toBeLessThan(1e-5);
  model.dispose();
});

it('SynFlow on a ResNet-101: as much flows through the first layer as through the last; no layer is emptied but shortcuts, which carry little beside their blocks', async () => {
  const model = createModel('resnet101', { device, random: new Random(1) }, { width: 8, classes: 4, ...channels });
  const weights = maskedParameters(model);
  const scores = await synflowScores(model, weights, [3, 8, 8], 0.2, 4);
  const flow = await totals(scores);
  expect(flow.get('conv1.weight')! / flow.get('linear.weight')!).toBeCloseTo(1, 4);
  const total = [...weights.values()].reduce((n, w) => n + w.size, 0);
  const kept = await totals(keepLargest(scores, globalCount(total, 0.2)));
  expect([...kept].filter(([name, n]) => n === 0 && !name.includes('shortcut'))).toEqual([]);
  model.dispose();
});

it('SynFlow refuses weights that are no numbers, and puts them back', async () => {
  const { model } = await network(1);
  const weight = model.parameters().get('layer2.0.conv1.weight')!;
  const values = (await weight.floats()).fill(Number.POSITIVE_INFINITY, 0, 1);
  weight.write(values);
  const scores = synflowScores(model, maskedParameters(model), shape, 0.1, 2);
  await expect(scores).rejects.toThrow(
    /^--sparse-init synflow: the flow through .* leaves the range of float32; .* use another --sparse-init$/,
  );
  expect(await weight.floats()).toEqual(values);
  model.dispose();
});
