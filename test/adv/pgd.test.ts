/** PGD and FGSM: float64 steps, ball and box, random starts, what an attack leaves alone, and that it attacks. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AttackLoss,
  type AttackSettings,
  crossEntropyLoss,
  cwLoss,
  fgsm,
  inputGradient,
  type Norm,
  pgd,
  randomStart,
  targeted,
} from '../../src/adv/pgd.ts';
import * as F from '../../src/autograd/index.ts';
import { BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential } from '../../src/nn/layers.ts';
import { readState } from '../../src/nn/state.ts';
import { Random, Stream } from '../../src/tensor/philox.ts';
import { capture, scope, type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, fromRef, random, rounded, run, seeds, testDevice, toRef } from '../engine.ts';
import { map, type Ref, ref, zip } from '../reference/array.ts';
import * as reference from '../reference/attack.ts';
import { norm as length } from '../reference/finite.ts';
import { matmul } from '../reference/linalg.ts';
import { crossEntropy } from '../reference/loss.ts';
import { integers } from '../reference/random.ts';

const device = await testDevice();
const classes = 5;
const norms = ['linf', 'l2'] as const;
const attackRandom = (seed: number) => new Random(seed, Stream.attack);
const int32 = (labels: number[]) => tensor(device, labels, [labels.length], 'i32');

/** Pixels with 0 and 1 among them. */
const pixels = (shape: number[], seed: number) => rounded(map(random(shape, seed, -0.2, 1.2), v => Math.min(Math.max(v, 0), 1)));

/** A network that is not linear, and needs no convolution. */
function perceptron(inputs: number, seed = 3): (x: Tensor) => Tensor {
  const make = { device, random: new Random(seed) };
  const net = new Sequential(new Flatten(), new Linear(make, inputs, 24), new ReLU(), new Linear(make, 24, classes));
  return x => net.forward(x);
}

const samples = ({ shape: [n], data }: Ref) =>
  Array.from({ length: n }, (_, i) => data.subarray((i * data.length) / n, ((i + 1) * data.length) / n));
const difference = (a: Ref, b: Ref) => zip(a, b, (p, q) => p - q);

/** Asserts that adv lies in the eps ball around x and in the box. */
function expectInside(x: Ref, adv: Ref, norm: Norm, eps: number): void {
  for (const d of samples(difference(adv, x))) {
    const size = norm === 'l2' ? length(d) : d.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    expect(size).toBeLessThanOrEqual(eps + 1e-6);
  }
  expect(adv.data.every(v => v >= -1e-6 && v <= 1 + 1e-6)).toBe(true);
}

const imageShapes = fc.tuple(between(1, 4), between(1, 3), between(1, 5), between(1, 5));
const settings: fc.Arbitrary<AttackSettings> = fc.record({
  norm: fc.constantFrom(...norms),
  eps: fc.constantFrom(0, 1 / 255, 8 / 255, 0.3, 2),
  stepSize: fc.constantFrom(0.5 / 255, 2 / 255, 0.1, 1),
  steps: between(0, 4),
  randomInit: fc.boolean(),
});

describe('the iterates', () => {
  it('stay in the ball and in the box, whatever the settings', async () => {
    await forAll(
      fc.tuple(imageShapes, settings, seeds),
      async ([shape, how, seed]) => {
        const x = pixels(shape, seed);
        const labels = integers(shape[0], seed, classes);
        const forward = perceptron(shape[1] * shape[2] * shape[3]);
        const [adv] = await run(device, [x], t => pgd(forward, t, int32(labels), how, attackRandom(seed)));
        expect(adv.shape).toEqual(shape);
        expectInside(x, adv, how.norm, how.eps);
      },
      40,
    );
  });

  it.each(norms)('%s: a radius of 0 gives x, bit by bit', async norm => {
    const x = pixels([3, 2, 5, 3], 1);
    const how = { norm, eps: 0, stepSize: 0.1, steps: 3, randomInit: true };
    const [adv] = await run(device, [x], t => pgd(perceptron(30), t, int32([0, 1, 2]), how, attackRandom(1)));
    expect(adv.data).toEqual(x.data);
  });

  it.each(norms)('%s: no steps give the start', async norm => {
    const x = pixels([3, 2, 5, 3], 1);
    const how = { norm, eps: 0.2, stepSize: 0.1, steps: 0 };
    const [plain, started, start] = await run(device, [x], t => [
      pgd(perceptron(30), t, int32([0, 1, 2]), { ...how, randomInit: false }, attackRandom(1)),
      pgd(perceptron(30), t, int32([0, 1, 2]), { ...how, randomInit: true }, attackRandom(1)),
      randomStart(t, how, attackRandom(1)).adv,
    ]);
    expect(plain.data).toEqual(x.data);
    expect(started.data).toEqual(start.data);
    expect(start.data).not.toEqual(x.data);
  });
});

describe('against the float64 steps, on a linear model', () => {
  const shape = [4, 3, 5, 3]; // 45 pixels a sample: no multiple of 4
  const x = pixels(shape, 5);
  const labels = [0, 4, 2, 2];
  const weight = random([classes, 45], 6);
  const forward = (w: Tensor) => (t: Tensor) => F.linear(F.flatten(t), w);
  const flat = (a: Ref) => ref([4, 45], a.data);
  /** The gradient of the summed cross-entropy by x + d. */
  const gradient = (d: Ref): Ref => {
    const adv = flat(zip(x, d, (a, b) => a + b));
    const logits = matmul.forward(adv, weight, { transposeB: true });
    const dLogits = crossEntropy.backward(logits, labels, { reduction: 'sum' }, ref([], 1));
    return ref(shape, matmul.backward(adv, weight, { transposeB: true }, dLogits)[0].data);
  };
  const rows = [
    { norm: 'linf', step: reference.linfStep, eps: 8 / 255, stepSize: 3 / 255 },
    { norm: 'l2', step: reference.l2Step, eps: 0.5, stepSize: 0.2 },
  ] as const;

  it.each(rows)('$norm: the gradient, and 1 to 6 steps', async ({ norm, step, eps, stepSize }) => {
    let d = ref(shape);
    for (let steps = 1; steps <= 6; steps++) {
      d = step(x, d, gradient(d), stepSize, eps);
      const how = { norm, eps, stepSize, steps, randomInit: false };
      const [adv, g] = await run(device, [x, weight], (t, w) => [
        pgd(forward(w), t, int32(labels), how, attackRandom(1)),
        inputGradient(forward(w), t, int32(labels), crossEntropyLoss),
      ]);
      checkForward(`PGD ${norm}`, difference(adv, x), d, 1e-5);
      checkForward('gradient by the pixels', g, gradient(ref(shape)));
    }
  });

  it.each(rows)('$norm: the fast gradient step', async ({ norm, step, eps }) => {
    const [adv] = await run(device, [x, weight], (t, w) => fgsm(forward(w), t, int32(labels), { norm, eps }));
    checkForward(`FGSM ${norm}`, difference(adv, x), step(x, ref(shape), gradient(ref(shape)), eps, eps), 1e-5);
  });

  it('where the gradient is 0 an Linf step does not move', async () => {
    const [adv] = await run(device, [x], t =>
      fgsm(a => F.linear(F.flatten(a), zeros(device, [classes, 45])), t, int32(labels), { norm: 'linf', eps: 0.1 }),
    );
    expect(adv.data).toEqual(x.data);
  });
});

describe('random starts', () => {
  it('Linf: x plus uniform noise of the seed in [-eps, eps), clipped to the box', async () => {
    const eps = 0.1;
    const x = pixels([2, 3, 5, 7], 2);
    const u = attackRandom(9).uniform(x.data.length);
    const [start] = await run(device, [x], t => randomStart(t, { norm: 'linf', eps }, attackRandom(9)).adv);
    checkForward(
      'random start, linf',
      start,
      map(
        zip(x, ref(x.shape, u), (a, v) => a + eps * (2 * v - 1)),
        v => Math.min(Math.max(v, 0), 1),
      ),
    );
  });

  it('Linf: every part of [-eps, eps) equally often', async () => {
    const [eps, n, bins] = [8 / 255, 40_000, 10];
    const [start] = await run(device, [ref([4, n / 4], 0.5)], t => randomStart(t, { norm: 'linf', eps }, attackRandom(1)).adv);
    const counts = new Array<number>(bins).fill(0);
    for (const v of start.data) counts[Math.min(bins - 1, Math.max(0, Math.floor(((v - 0.5) / eps + 1) * (bins / 2))))]++;
    const chiSquare = counts.reduce((sum, c) => sum + (c - n / bins) ** 2 / (n / bins), 0);
    expect(chiSquare).toBeLessThan(33.7); // nine degrees of freedom: once in ten thousand seeds
  });

  it('L2: a uniform point of the box, brought onto the ball where it is outside', async () => {
    const x = pixels([3, 2, 6, 6], 2);
    const u = rounded(ref(x.shape, attackRandom(9).uniform(x.data.length)));
    for (const eps of [0.25, 100]) {
      const [start] = await run(device, [x], t => randomStart(t, { norm: 'l2', eps }, attackRandom(9)).adv);
      checkForward('random start, l2', difference(start, x), reference.l2Start(x, u, eps), 1e-5);
      if (eps === 0.25) for (const d of samples(difference(start, x))) expect(length(d)).toBeCloseTo(eps, 5);
    }
  });

  it('differ from draw to draw and in every replay, and are the same for the same seed', async () => {
    const x = fromRef(device, pixels([2, 1, 4, 4], 1));
    const how = { norm: 'linf', eps: 0.1 } as const;
    const generator = attackRandom(4);
    const [a, b] = [randomStart(x, how, generator).adv, randomStart(x, how, generator).adv];
    expect(await a.data()).not.toEqual(await b.data());
    expect(await randomStart(x, how, attackRandom(4)).adv.data()).toEqual(await a.data());

    const counter = zeros(device, [1], 'u32');
    const step = capture(device, () => randomStart(x, how, attackRandom(4), { step: counter }).adv);
    expect(await step.run().data()).toEqual(await a.data());
    counter.write([1]);
    expect(await step.run().data()).not.toEqual(await a.data());
    step.dispose();
  });
});

describe('what it does to a network', () => {
  const shape = [32, 3, 4, 4];
  const forward = perceptron(48);
  const x = pixels(shape, 8);
  const labels = integers(shape[0], 8, classes);
  const how = (norm: Norm, steps: number): AttackSettings =>
    norm === 'linf'
      ? { norm, eps: 0.1, stepSize: 0.025, steps, randomInit: false }
      : { norm, eps: 0.5, stepSize: 0.125, steps, randomInit: false };
  /** A loss of every sample on the results of several attacks. */
  const losses = (each: (logits: Tensor) => Tensor, ...attacks: ((t: Tensor) => Tensor)[]) =>
    run(device, [x], t => attacks.map(attack => each(forward(attack(t)))));
  const ce = (logits: Tensor) => F.crossEntropy(logits, int32(labels), { reduction: 'none' });
  const mean = (a: Ref) => a.data.reduce((p, q) => p + q, 0) / a.data.length;
  const attack =
    (norm: Norm, steps: number, loss?: AttackLoss, y = labels) =>
    (t: Tensor) =>
      pgd(forward, t, int32(y), how(norm, steps), attackRandom(1), {}, loss);

  it.each(norms)('%s: the loss rises for every sample, and with the number of steps', async norm => {
    const [clean, one, ten] = await losses(ce, t => t, attack(norm, 1), attack(norm, 10));
    expect(one.data.every((v, i) => v > clean.data[i])).toBe(true);
    expect(ten.data.filter((v, i) => v < one.data[i])).toHaveLength(0);
    expect(mean(ten)).toBeGreaterThan(mean(one) + 0.01);
  });

  it.each(norms)('%s: a targeted attack approaches its target', async norm => {
    const targets = labels.map(y => (y + 1) % classes);
    const toTarget = (logits: Tensor) => F.crossEntropy(logits, int32(targets), { reduction: 'none' });
    const [clean, after] = await losses(toTarget, t => t, attack(norm, 10, targeted(crossEntropyLoss), targets));
    expect(after.data.every((v, i) => v < clean.data[i])).toBe(true);
  });

  it('the margin loss raises the margin', async () => {
    const margin = (logits: Tensor) => F.margin(logits, int32(labels));
    const [clean, after] = await losses(margin, t => t, attack('linf', 10, cwLoss));
    expect(after.data.every((v, i) => v > clean.data[i])).toBe(true);
  });

  it.each(norms)('%s: a sample alone gets what it gets in a batch', async norm => {
    const first = ref([1, ...shape.slice(1)], x.data.slice(0, 48));
    const [batch] = await run(device, [x], attack(norm, 5));
    const [alone] = await run(device, [first], t => pgd(forward, t, int32(labels.slice(0, 1)), how(norm, 5), attackRandom(1)));
    checkForward(`PGD ${norm}`, alone, ref(alone.shape, batch.data.slice(0, 48)), 1e-6);
  });
});

describe('what it leaves alone', () => {
  const make = { device, random: new Random(2) };
  const model = new Sequential(
    new Conv2d(make, 3, 4, 3, { padding: 1 }),
    new BatchNorm2d(make, 4),
    new ReLU(),
    new Flatten(),
    new Linear(make, 4 * 16, classes),
  );
  const x = fromRef(device, pixels([4, 3, 4, 4], 3));
  const labels = int32([0, 1, 2, 3]);
  const how: AttackSettings = { norm: 'linf', eps: 0.1, stepSize: 0.03, steps: 3, randomInit: true };
  const attack = () => pgd(t => model.forward(t), x, labels, how, attackRandom(1));

  it('in eval mode: parameters, running statistics, modes, images, and all memory but its result', async () => {
    model.eval();
    const [before, images] = [await readState(model), await toRef(x)];
    attack().dispose(); // the first use of kernels makes their constants
    const live = device.stats.live;
    const adv = scope(device, attack);
    expect(device.stats.live - live).toBe(4 * x.size);
    adv.dispose();
    const loose = attack(); // outside of any scope
    expect(device.stats.live - live).toBe(4 * x.size);
    loose.dispose();
    expect(await readState(model)).toEqual(before);
    expect(await toRef(x)).toEqual(images);
    expect([...model.modules()].every(([, m]) => !m.training)).toBe(true);
  });

  it('in train mode: parameters and modes; running statistics move once a step', async () => {
    model.train();
    const before = await readState(model);
    attack().dispose();
    const after = await readState(model);
    for (const [name, { data }] of after) {
      const check = expect(data, name);
      if (name.includes('running_')) check.not.toEqual(before.get(name)!.data);
      else check.toEqual(before.get(name)!.data);
    }
    expect([...model.modules()].every(([, m]) => m.training)).toBe(true);
    expect(countUpdates(attack)).toBe(how.steps);
  });

  it('its kernels: none for the gradient of a weight', () => {
    model.eval();
    const labelsOf = launches(attack);
    expect(labelsOf.some(l => l.startsWith('attack_step'))).toBe(true);
    expect(labelsOf.filter(l => /conv_weight_grad|norm_sums|norm_channel.*FORWARD=false,TRAIN=true/.test(l))).toEqual([]);
  });

  it('the tape: inside noGrad it gives the same bits, and recording stays off', async () => {
    model.eval();
    const inside = F.noGrad(() => {
      const adv = attack();
      expect(F.isRecording()).toBe(false);
      return adv;
    });
    expect(F.isTracked(inside)).toBe(false);
    expect(await inside.data()).toEqual(await attack().data());
    const step = F.noGrad(() => fgsm(t => model.forward(t), x, labels, how));
    expect(await step.data()).toEqual(await fgsm(t => model.forward(t), x, labels, how).data());
  });

  it('captured, it gives the bits that it gives eagerly', async () => {
    model.eval();
    const step = capture(device, attack);
    expect(await step.run().data()).toEqual(await attack().data());
    step.dispose();
  });
});

function launches(work: () => unknown): string[] {
  const step = capture(device, () => void work());
  const labels = step.capture.programs().map(p => p.label);
  step.dispose();
  return labels;
}

/** How often running statistics would move. */
const countUpdates = (work: () => unknown) => launches(work).filter(l => /norm_(apply|channel).*UPDATE=true/.test(l)).length;
