/** Each training mode on a thin PreActResNet-18: its attack, losses and gradients against float64, and one tiny epoch of training. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { shapes } from '../../src/data/shapes.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { writeState } from '../../src/nn/state.ts';
import { elementwise } from '../../src/tensor/elementwise.ts';
import { Random, Stream } from '../../src/tensor/philox.ts';
import { randomNormal } from '../../src/tensor/random.ts';
import { type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { Average } from '../../src/train/average.ts';
import { attackSettings, resolveConfig } from '../../src/train/config.ts';
import { type Gradients, type ModeName, trainingModes } from '../../src/train/modes/index.ts';
import { trainRun } from '../../src/train/run.ts';
import { checkForward, checkGradient, fromRef, testDevice, toRef } from '../engine.ts';
import { map, type Ref, ref, zip } from '../reference/array.ts';
import { readFixture } from '../reference/fixture.ts';
import { slice } from '../reference/index.ts';
import { preActResNet18 } from '../reference/model.ts';
import * as reference from '../reference/modes.ts';

const device = await testDevice();
const fixture = readFixture('resnet18-width4');
const state = fixture.group('state.');
const images = map(
  slice.forward(fixture.get('x'), [
    [0, 4, 1],
    [0, 3, 1],
    [0, 16, 1],
    [0, 16, 1],
  ]),
  v => Math.fround(Math.min(1, Math.max(0, v))),
);
const labels = [...fixture.get('y').data.slice(0, 4)];
const channels = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const model = createModel('resnet18', { device, random: new Random(0) }, { width: 4, classes: 10, ...channels });
const initial = new Map(Object.entries(state).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]));

/** Every image that the model sees. */
let seen: Tensor[] = [];
const forward = model.forward.bind(model);
model.forward = x => {
  seen.push(elementwise('copy', [x]));
  return forward(x);
};
beforeEach(() => {
  writeState(model, initial);
  seen = [];
});
afterAll(() => model.dispose());

const attack = { norm: 'linf', eps: 8 / 255, stepSize: 4 / 255, steps: 2, randomInit: true } as const;
const settings = { smoothing: 0.1, beta: 3, awpGamma: 0.02, replays: 1 };

/** One step of a mode: the images seen, and what it hands to the optimiser. */
async function step(mode: ModeName, masks = new Map<string, Tensor>()) {
  const given: { losses: Tensor; gradients: Gradients }[] = [];
  const counter = zeros(device, [1], 'u32');
  const kept = trainingModes[mode] as { state?: (shape: readonly number[]) => Record<string, readonly number[]> };
  const own = Object.entries(kept.state?.(images.shape) ?? {}).map(([name, shape]) => [name, zeros(device, shape)] as const);
  trainingModes[mode].step(
    {
      model: model.train(),
      attack,
      settings,
      random: new Random(5, Stream.attack),
      draw: { step: counter },
      masks,
      state: new Map(own),
      gradients: losses => {
        const parameters = model.parameters();
        const found = F.grad(F.mean(losses), [...parameters.values()]);
        return new Map([...parameters.keys()].map((name, i) => [name, found[i]]));
      },
      descend: (losses, _, gradients) => given.push({ losses, gradients }),
    },
    fromRef(device, images),
    tensor(device, labels, [4], 'i32'),
  );
  expect(model.training).toBe(true);
  const [{ losses, gradients }] = given;
  return { losses: await toRef(losses), gradients, adv: await toRef(seen.at(-1)!), state: new Map(own) };
}

async function compare(mode: string, found: { losses: Ref; gradients: Gradients }, expected: reference.Outcome): Promise<void> {
  checkForward(`${mode} losses`, found.losses, expected.losses, 1e-4);
  const names = Object.keys(expected.gradients);
  for (const name of names) {
    // sums of thousands of terms of either sign
    checkGradient(`${mode} ${name}`, await toRef(found.gradients.get(name)!), expected.gradients[name], 2e-3);
  }
  expect(names.sort()).toEqual([...model.parameters().keys()].sort());
}

/** An attack goes by signs: where a derivative is nearly 0 float32 may decide otherwise, so a few pixels may differ. */
function sameAttack(found: Ref, expected: Ref): void {
  const off = found.data.filter((v, i) => Math.abs(v - expected.data[i]) > 1e-5).length;
  expect(off / found.data.length).toBeLessThan(0.01);
  const furthest = zip(found, images, (a, b) => Math.abs(a - b)).data.reduce((a, b) => Math.max(a, b));
  expect(furthest).toBeLessThanOrEqual(attack.eps + 1e-6);
  expect(furthest).toBeGreaterThan(attack.eps / 2);
}

describe('losses and gradients', () => {
  it('sgd: cross-entropy of clean images, smoothed', async () => {
    const found = await step('sgd');
    expect(found.adv).toEqual(images);
    await compare('sgd', found, reference.plain(preActResNet18, state, images, labels, settings));
  });

  it('pgd: the model stays in train mode; steps + 1 forward passes', async () => {
    const found = await step('pgd');
    expect(seen.length).toBe(attack.steps + 1);
    await compare('pgd', found, reference.plain(preActResNet18, state, found.adv, labels, settings));
  });

  it('fast: one step of 1.25 eps from a random start, in eval mode', async () => {
    const found = await step('fast');
    const u = new Random(5, Stream.attack).uniform(images.data.length);
    const start = ref(
      images.shape,
      Array.from(u, v => (2 * v - 1) * attack.eps),
    );
    sameAttack(found.adv, reference.fastAttack(preActResNet18, state, images, labels, start, attack.eps));
    await compare('fast', found, reference.plain(preActResNet18, state, found.adv, labels, settings));
  });

  it.each(['trades', 'mart'] as const)('%s: the attack in eval mode, both terms and both passes', async mode => {
    const found = await step(mode);
    const noise = await toRef(randomNormal(device, images.shape, new Random(5, Stream.attack), 0, 0.001));
    const sizes = { steps: attack.steps, alpha: attack.stepSize, eps: attack.eps };
    sameAttack(found.adv, reference.ascent(preActResNet18, state, images, labels, noise, mode, sizes));
    const rule = mode === 'trades' ? reference.trades : reference.mart;
    await compare(mode, found, rule(preActResNet18, state, images, found.adv, labels, settings));
  });

  it('awp: the gradient at the perturbed weights, which come back; what is masked is not perturbed', async () => {
    const mask = map(state['layer2.0.conv1.weight'], w => (w > 0 ? 1 : 0));
    const masks = new Map([['layer2.0.conv1.weight', fromRef(device, mask)]]);
    const before = await toRef(model.parameters().get('conv1.weight')!);
    const found = await step('awp', masks);
    const expected = reference.awp(preActResNet18, state, found.adv, labels, { 'layer2.0.conv1.weight': mask }, settings);
    await compare('awp', found, expected);
    expect(await toRef(model.parameters().get('conv1.weight')!)).toEqual(before);
  });

  it('free: the perturbation moves by eps sign(g) and stays for the next batch', async () => {
    const found = await step('free');
    await compare('free', found, reference.plain(preActResNet18, state, images, labels, settings));
    const d = await toRef(found.state.get('perturbation')!);
    const pass = preActResNet18(state, images, true);
    const g = pass.backward(reference.smoothedGradient(pass.logits, labels, settings.smoothing)).x;
    const expected = zip(g, images, value => Math.sign(value) * attack.eps);
    const off = d.data.filter((v, i) => Math.abs(v - expected.data[i]) > 1e-6).length;
    expect(off / d.data.length).toBeLessThan(0.01);
  });
});

describe('a tiny epoch', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sparrow-modes-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const data = shapes({ seed: 3, train: 40, val: 16, test: 16 });

  it.each(Object.keys(trainingModes) as ModeName[])('%s: ends with a checkpoint, accuracies and its work', async mode => {
    const saveDir = join(folder, mode);
    const config = resolveConfig({
      dataset: 'shapes',
      arch: 'resnet8',
      width: 2,
      batchSize: 16,
      epochs: 1,
      trainStep: 2,
      testStep: 2,
      replays: 3,
      mode,
      saveDir,
    });
    const outcome = await trainRun(config, {}, { device, data });
    if (outcome.interrupted) throw new Error('interrupted');
    const { flops, final } = outcome.result;
    const passes = { sgd: 3, pgd: 7, fast: 5, trades: 11, mart: 10, awp: 10, free: 9 }[mode];
    expect(flops.trainingDense).toBe(40 * passes * flops.inferenceDense);
    expect(final.testSa).toBeGreaterThanOrEqual(0);
    const [row] = readFileSync(join(saveDir, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    // three steps: the cyclic rate of the first is 1/3 of the way
    expect(row.lr).toBeCloseTo(mode === 'fast' ? (0.2 * (1 / 3)) / 0.4 : 0.1, 6);
  });
});

it('attacks of modes are those of the flags', () => {
  const config = resolveConfig({ dataset: 'shapes', arch: 'resnet8', mode: 'trades' });
  expect([config.beta, attackSettings(config, 'train').steps]).toEqual([6, 10]);
  expect(resolveConfig({ dataset: 'shapes', arch: 'resnet8', mode: 'mart' }).beta).toBe(5);
  const fast = resolveConfig({ dataset: 'shapes', arch: 'resnet8', mode: 'fast' });
  expect([fast.lr, fast.lrSchedule]).toEqual([0.2, 'cyclic']);
  expect(resolveConfig({ dataset: 'shapes', arch: 'resnet8', mode: 'fast', lr: 0.1 }).lr).toBe(0.1);
});

it('weight averaging follows e = decay e + (1 - decay) w', async () => {
  const other = createModel('resnet18', { device, random: new Random(9) }, { width: 4, classes: 10, ...channels });
  const average = new Average(model, other, 0.75);
  const name = 'linear.weight';
  const w = model.parameters().get(name)!;
  const before = await toRef(w);
  const optimiser = new Sgd(model.parameters(), { lr: 1 });
  optimiser.step(
    new Map([
      [
        name,
        fromRef(
          device,
          map(before, () => 2),
        ),
      ],
    ]),
  );
  average.follow();
  const after = await toRef(w);
  checkForward(
    'average',
    await toRef(other.parameters().get(name)!),
    zip(before, after, (a, b) => 0.75 * a + 0.25 * b),
  );
  optimiser.dispose();
  other.dispose();
});
