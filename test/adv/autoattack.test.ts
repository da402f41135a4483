/**
 * APGD, FAB, Square and AutoAttack: schedules against float64 references, balls and boxes, seeds, what ensembles promise, and the exact
 * robust accuracy of a linear classifier.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ApgdSettings, apgd, checkpoints } from '../../src/adv/apgd.ts';
import { type Ball, ensemble, type Stage, stage, stageNames } from '../../src/adv/autoattack.ts';
import { misclassified, type Outcome, predict } from '../../src/adv/batch.ts';
import { fab } from '../../src/adv/fab.ts';
import { ceLoss, dlrLoss, targetedDlrLoss } from '../../src/adv/losses.ts';
import type { Forward } from '../../src/adv/pgd.ts';
import { bump, squareAttack, windowShare, windowSide } from '../../src/adv/square.ts';
import { attackSurvivors, packedSize } from '../../src/adv/survivors.ts';
import * as F from '../../src/autograd/index.ts';
import { Flatten, Linear, ReLU, Sequential } from '../../src/nn/layers.ts';
import { Random, Stream } from '../../src/tensor/philox.ts';
import { randomNormal } from '../../src/tensor/random.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import {
  between,
  checkForward,
  checkGradient,
  forAll,
  fromRef,
  random,
  rounded,
  run,
  seeds,
  testDevice,
  toRef,
} from '../engine.ts';
import { map, type Ref, ref } from '../reference/array.ts';
import * as reference from '../reference/autoattack.ts';
import { norm as length } from '../reference/finite.ts';
import { integers } from '../reference/random.ts';

const device = await testDevice();
const norms = ['linf', 'l2'] as const;
const attackRandom = (seed: number) => new Random(seed, Stream.attack);
const int32 = (labels: readonly number[]) => tensor(device, labels, [labels.length], 'i32');
const pixels = (shape: number[], seed: number) => rounded(map(random(shape, seed, -0.2, 1.2), v => Math.min(Math.max(v, 0), 1)));
const rowsOf = ({ shape: [n], data }: Ref) =>
  Array.from({ length: n }, (_, i) => data.slice((i * data.length) / n, ((i + 1) * data.length) / n));

/** A network that is not linear, and needs no convolution. */
function perceptron(inputs: number, classes: number, seed = 3): Forward {
  const make = { device, random: new Random(seed) };
  const net = new Sequential(new Flatten(), new Linear(make, inputs, 24), new ReLU(), new Linear(make, 24, classes));
  return x => net.forward(x);
}

/** A linear classifier and its weights. */
function linear(inputs: number, classes: number, seed: number) {
  const [weight, bias] = [random([classes, inputs], seed), random([classes], seed + 1)];
  const [w, b] = [fromRef(device, weight).keep(), fromRef(device, bias).keep()];
  return { weight: rowsOf(weight), bias: bias.data, forward: (x: Tensor) => F.linear(F.flatten(x), w, b) };
}

/** The labels that a model gives. */
async function labelsOf(forward: Forward, x: Tensor): Promise<number[]> {
  const logits = rowsOf(await toRef(predict(forward, x)));
  return logits.map(z => z.indexOf(Math.max(...z)));
}

/** Runs every run of a stage on one batch; the last outcome. */
async function runStage({ runs }: Stage, forward: Forward, x: Tensor, labels: Tensor, seed: number): Promise<Outcome> {
  let outcome: Outcome | undefined;
  for (const each of runs) outcome = await each(forward, x, labels, attackRandom(seed));
  return outcome!;
}

const quick = { iterations: 6, queries: 12 };

describe('schedules', () => {
  it("APGD's checkpoints, for every number of steps", () => {
    for (let steps = 1; steps <= 250; steps++) expect(checkpoints(steps)).toEqual(reference.apgdCheckpoints(steps));
  });

  it("Square's windows: a share of .8, halved after 10, 50, 200, ... queries, whatever the budget", () => {
    const stages = [
      [0, 10, 0.8],
      [11, 50, 0.4],
      [51, 200, 0.2],
      [201, 500, 0.1],
      [501, 1000, 0.05],
      [1001, 2000, 0.025],
      [2001, 4000, 0.0125],
      [4001, 6000, 0.00625],
      [6001, 8000, 0.003125],
      [8001, 20000, 0.0015625],
    ];
    for (const [first, last, share] of stages) expect([windowShare(first), windowShare(last)]).toEqual([share, share]);
    expect(windowSide(0.8, 32, 32, 'linf')).toBe(29);
    expect(windowSide(1e-9, 32, 32, 'linf')).toBe(1);
    expect(windowSide(0.8 / 512, 32, 32, 'l2')).toBe(3);
    expect(windowSide(0.1, 32, 32, 'l2')).toBe(11); // 10 made odd
  });

  it("Square's L2 bump has norm 1 and two signs", () => {
    for (const side of [1, 2, 3, 7, 12, 400]) expect(length(bump(side))).toBeCloseTo(1, 6);
    const seven = bump(7);
    expect(seven.subarray(0, 21).every(v => v >= 0)).toBe(true);
    expect(seven.subarray(21).every(v => v <= 0)).toBe(true);
  });

  it('batches of survivors: full ones, then the next power of two', () => {
    expect([300, 128, 127, 65, 64, 3, 1].map(left => packedSize(left, 128))).toEqual([128, 128, 128, 128, 64, 4, 1]);
    expect(packedSize(90, 100)).toBe(100);
  });
});

describe('losses, and their gradients by finite differences', () => {
  const [n, classes] = [4, 6];
  const logits = random([n, classes], 4, -3, 3);
  const labels = [0, 5, 2, 3];
  const targets = [1, 2, 4, 0];
  const sorted = (z: Float64Array) => [...z].sort((a, b) => b - a);
  const dlr = (z: Float64Array, i: number) => {
    const s = sorted(z);
    const other = Math.max(...z.filter((_, j) => j !== labels[i]));
    return -(z[labels[i]] - other) / (s[0] - s[2] + 1e-12);
  };
  const targeted = (z: Float64Array, i: number) => {
    const s = sorted(z);
    return -(z[labels[i]] - z[targets[i]]) / (s[0] - 0.5 * (s[2] + s[3]) + 1e-12);
  };

  it.each([
    ['DLR', () => dlrLoss, dlr],
    ['targeted DLR', () => targetedDlrLoss(int32(targets)), targeted],
  ] as const)('%s', async (name, loss, formula) => {
    const [values, gradient] = await run(device, [logits], z => {
      F.track(z);
      const losses = loss()(z, int32(labels));
      return [losses, F.grad(F.sum(losses), [z])[0]];
    });
    const rows = rowsOf(logits);
    checkForward(name, values, ref([n], rows.map(formula)));
    const expected = ref([n, classes]);
    rows.forEach((z, i) => {
      for (let k = 0; k < classes; k++) {
        const at = (h: number) =>
          formula(
            z.map((v, j) => (j === k ? v + h : v)),
            i,
          );
        expected.data[i * classes + k] = (at(1e-6) - at(-1e-6)) / 2e-6;
      }
    });
    checkGradient(name, gradient, expected, 1e-4);
  });

  it('a model with too few classes is refused in one line', async () => {
    const x = fromRef(device, pixels([2, 1, 4, 4], 1));
    const settings: ApgdSettings = { norm: 'linf', eps: 0.1, steps: 2 };
    await expect(apgd(perceptron(16, 3), x, int32([0, 1]), settings, dlrLoss, attackRandom(1))).rejects.toThrow(
      'the DLR loss needs at least 4 classes, the model has 3: attack with apgd-ce',
    );
  });
});

describe('every attack', () => {
  const cases = fc.record({
    shape: fc.tuple(between(1, 4), between(1, 3), between(1, 7), between(1, 7)),
    name: fc.constantFrom(...stageNames),
    norm: fc.constantFrom(...norms),
    eps: fc.constantFrom(0, 8 / 255, 0.3, 2),
    seed: seeds,
  });

  it('stays in the ball and in the box, says truly whom it fooled, and repeats its bits for a seed', async () => {
    await forAll(
      cases,
      async ({ shape, name, norm, eps, seed }) => {
        const forward = perceptron(shape[1] * shape[2] * shape[3], 5);
        const images = pixels(shape, seed);
        const [x, labels] = [fromRef(device, images), int32(integers(shape[0], seed, 5))];
        const attack = () => runStage(stage(name, { norm, eps }, 5, { iterations: 4, queries: 6 }), forward, x, labels, seed);
        const { adv, fooled } = await attack();
        const moved = rowsOf(
          ref(
            shape,
            (await toRef(adv)).data.map((v, i) => v - images.data[i]),
          ),
        );
        for (const d of moved) {
          const size = norm === 'l2' ? length(d) : d.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
          expect(size).toBeLessThanOrEqual(eps + 1e-6);
        }
        expect((await adv.floats()).every(v => v >= 0 && v <= 1 + 1e-7)).toBe(true);
        expect(await toRef(misclassified(predict(forward, adv), labels))).toEqual(await toRef(fooled));
        expect(await toRef((await attack()).adv)).toEqual(await toRef(adv));
      },
      15,
    );
  });

  it.each(stageNames)('%s leaves no memory behind but its result', async name => {
    const forward = perceptron(48, 5);
    const [x, labels] = [fromRef(device, pixels([4, 3, 4, 4], 1)), int32([0, 1, 2, 3])];
    const [attack] = stage(name, { norm: 'l2', eps: 0.3 }, 5, quick).runs;
    const runAndDispose = async () => {
      const { adv, fooled } = await attack(forward, x, labels, attackRandom(1));
      for (const t of [adv, fooled]) t.dispose();
    };
    await runAndDispose(); // the first use of kernels makes their constants
    const live = device.stats.live;
    await runAndDispose();
    expect(device.stats.live - live).toBe(0);
  });
});

describe('APGD', () => {
  it.each([
    ['linf', 0.1],
    ['l2', 0.8],
  ] as const)('%s: the highest loss is the one of the float64 algorithm from the same start', async (norm, eps) => {
    const [n, inputs, classes, steps] = [6, 12, 4, 30];
    const { weight, bias, forward } = linear(inputs, classes, 11);
    const images = pixels([n, 1, 3, 4], 7); // some pixels are 0 or 1: the box cuts steps off
    const labels = integers(n, 7, classes);
    const x = fromRef(device, images);
    const attack = async (settings: ApgdSettings) =>
      (await apgd(forward, x, int32(labels), settings, ceLoss, attackRandom(5))).adv;
    const adv = await attack({ norm, eps, steps });
    const reached = await toRef(F.crossEntropy(forward(adv), int32(labels), { reduction: 'none' }));
    const noise = rowsOf(ref([n, inputs], attackRandom(5).uniform(n * inputs)));
    // of normals the device has its own sine and cosine
    const normals = rowsOf(await toRef(randomNormal(device, images.shape, attackRandom(5))));
    rowsOf(images).forEach((image, i) => {
      const t = norm === 'linf' ? noise[i].map(u => 2 * u - 1) : normals[i];
      const largest = norm === 'linf' ? Math.max(...t.map(Math.abs)) : length(t);
      const start = t.map((v, k) => Math.min(1, Math.max(0, image[k] + (eps * v) / largest)) - image[k]);
      const objective = (at: Float64Array) => {
        const z = weight.map((row, k) => row.reduce((sum, v, p) => sum + v * at[p], bias[k]));
        const exps = z.map(Math.exp);
        const total = exps.reduce((a, b) => a + b);
        const gradient = at.map((_, p) =>
          weight.reduce((sum, row, k) => sum + (exps[k] / total - (k === labels[i] ? 1 : 0)) * row[p], 0),
        );
        return { loss: Math.log(total) - z[labels[i]], gradient };
      };
      const { loss } = reference.apgd(norm, image, start, objective, eps, steps);
      // a misclassified image is returned even where another had a higher loss
      expect(reached.data[i]).toBeLessThanOrEqual(loss + 1e-5);
      expect(reached.data[i]).toBeGreaterThan(loss - 1e-3);
    });
  });

  it.each(norms)('%s: reaches a higher loss than it starts with, and more steps reach no less', async norm => {
    const forward = perceptron(48, 5);
    const x = fromRef(device, pixels([16, 3, 4, 4], 8));
    const labels = int32(await labelsOf(forward, x));
    const lossAfter = async (steps: number) => {
      const { adv } = await apgd(forward, x, labels, { norm, eps: 0.02, steps }, ceLoss, attackRandom(2));
      return toRef(ceLoss(forward(adv), labels));
    };
    const [start, few, many] = [await lossAfter(0), await lossAfter(5), await lossAfter(40)];
    expect(few.data.every((v, i) => v > start.data[i])).toBe(true);
    expect(many.data.every((v, i) => v >= few.data[i] - 1e-5)).toBe(true);
  });

  it('averages passes: with eot the result of a model that is not random is the same to rounding', async () => {
    const forward = perceptron(48, 5);
    const x = fromRef(device, pixels([4, 3, 4, 4], 8));
    const settings: ApgdSettings = { norm: 'l2', eps: 0.2, steps: 3 };
    const adv = (eot: number) => apgd(forward, x, int32([0, 1, 2, 3]), { ...settings, eot }, ceLoss, attackRandom(2));
    const [once, often] = [await adv(1), await adv(3)];
    checkForward('APGD with EoT', await toRef(often.adv), await toRef(once.adv), 1e-5);
  });

  it('reads nothing back between steps', async () => {
    const x = fromRef(device, pixels([2, 1, 4, 4], 1));
    const readbacks = device.stats.readbacks;
    await apgd(perceptron(16, 5), x, int32([0, 1]), { norm: 'linf', eps: 0.1, steps: 10 }, ceLoss, attackRandom(1));
    expect(device.stats.readbacks).toBe(readbacks);
  });
});

describe('FAB', () => {
  it.each(norms)('%s: finds the distance of a linear boundary between two classes', async norm => {
    const { weight, bias, forward } = linear(27, 2, 21);
    const images = pixels([8, 3, 3, 3], 9);
    const x = fromRef(device, images);
    const labels = await labelsOf(forward, x);
    const settings = { norm, eps: 100, steps: 30, randomInit: false };
    const { adv, fooled } = await fab(forward, x, int32(labels), settings, attackRandom(1));
    expect((await toRef(fooled)).data.every(v => v === 1)).toBe(true);
    const found = rowsOf(await toRef(adv));
    rowsOf(images).forEach((image, i) => {
      const w = weight[1].map((v, k) => v - weight[0][k]);
      const c = w.reduce((sum, v, k) => sum + v * image[k], bias[1] - bias[0]);
      const size = (d: Float64Array) => (norm === 'l2' ? length(d) : Math.max(...d.map(Math.abs)));
      const nearest = size(reference.hyperplaneStep(norm, image, w, c));
      const distance = size(found[i].map((v, k) => v - image[k]));
      expect(distance).toBeGreaterThan(nearest - 1e-6);
      expect(distance).toBeLessThan(1.06 * nearest + 1e-6);
    });
  });
});

describe('AutoAttack', () => {
  /** Attacks the correctly classified samples of a set on the device. */
  async function attackAll(forward: Forward, images: Ref, labels: number[], stages: readonly Stage[], seed = 1, batchSize = 16) {
    const all = rowsOf(images);
    const load = (indices: readonly number[]) => ({
      images: tensor(device, Float32Array.from(indices.flatMap(i => [...all[i]])), [indices.length, ...images.shape.slice(1)]),
      labels: int32(indices.map(i => labels[i])),
    });
    const predicted = await labelsOf(forward, fromRef(device, images));
    const correct = labels.flatMap((y, i) => (predicted[i] === y ? [i] : []));
    const trace: { stage: string; survivors: number }[] = [];
    const seen: number[][] = [];
    const left = await attackSurvivors(forward, load, correct, stages, batchSize, attackRandom(seed), {
      onRun: (name, _done, _total, survivors) => void trace.push({ stage: name, survivors }),
      onBatch: indices => void seen.push([...indices]),
    });
    return { correct, left, trace, seen };
  }

  it('Linf on a linear classifier: exactly the samples that closed form calls robust survive', async () => {
    const [n, inputs, classes, eps] = [32, 27, 5, 0.08];
    const { weight, bias, forward } = linear(inputs, classes, 31);
    const images = pixels([n, 3, 3, 3], 12);
    const labels = await labelsOf(forward, fromRef(device, images));
    const worst = rowsOf(images).map((x, i) => reference.worstLinearMargin(x, labels[i], weight, [...bias] as never, eps));
    const robust = worst.flatMap((margin, i) => (margin < 0 ? [i] : []));
    expect(robust.length).toBeGreaterThan(5);
    expect(robust.length).toBeLessThan(27);
    expect(Math.min(...worst.map(Math.abs))).toBeGreaterThan(1e-4); // none is decided by rounding
    const { left } = await attackAll(forward, images, labels, ensemble('aa', { norm: 'linf', eps }, classes, quick));
    expect(left).toEqual(robust);
  });

  it.each(process.env.SPARROW_TEST_FULL ? norms : ['l2' as const])(
    '%s: survivors become fewer from run to run, and runs see survivors only',
    async norm => {
      const forward = perceptron(48, 5);
      const images = pixels([20, 3, 4, 4], 14);
      const labels = await labelsOf(forward, fromRef(device, images));
      labels[3] = (labels[3] + 1) % 5; // one that the model gets wrong
      const ball: Ball = { norm, eps: norm === 'linf' ? 0.025 : 0.12 };
      const stages = ensemble('aa', ball, 5, quick);
      const { correct, left, trace, seen } = await attackAll(forward, images, labels, stages);
      expect(correct).toHaveLength(19);
      expect(trace.map(t => t.stage)).toEqual(['apgd-ce', ...Array(4).fill('apgd-t'), ...Array(4).fill('fab-t'), 'square']);
      const counts = [correct.length, ...trace.map(t => t.survivors)];
      for (let i = 1; i < counts.length; i++) expect(counts[i]).toBeLessThanOrEqual(counts[i - 1]);
      expect(counts[1]).toBeLessThan(19);
      expect(left).toHaveLength(counts.at(-1)!);
      expect(left.length).toBeGreaterThan(0);
      expect(seen.flat()).toHaveLength(counts.slice(0, -1).reduce((a, b) => a + b));
      expect(seen.flat()).not.toContain(3);
      expect((await attackAll(forward, images, labels, stages)).left).toEqual(left);
    },
  );

  it('the versions are those of the paper', () => {
    const ball: Ball = { norm: 'linf', eps: 0.1 };
    const plan = (stages: Stage[]) => stages.map(({ name, runs }) => `${name} x${runs.length}`);
    expect(plan(ensemble('aa', ball, 10))).toEqual(['apgd-ce x1', 'apgd-t x9', 'fab-t x9', 'square x1']);
    expect(plan(ensemble('aa-plus', ball, 10))).toEqual([
      ...['apgd-ce x5', 'apgd-dlr x5', 'fab x5', 'square x1', 'apgd-t x9', 'fab-t x9'],
    ]);
    expect(plan(ensemble('aa-rand', ball, 10))).toEqual(['apgd-ce x1', 'apgd-dlr x1']);
    expect(plan(ensemble('aa', ball, 4))).toEqual(['apgd-ce x1', 'apgd-t x3', 'fab-t x3', 'square x1']);
  });
});

describe('Square', () => {
  it.each(norms)('%s: lowers the margin without a gradient', async norm => {
    const base = perceptron(3 * 64, 5);
    const forward: Forward = x => base(F.detach(x)); // nothing could be differentiated
    const x = fromRef(device, pixels([8, 3, 8, 8], 8));
    const labels = int32(await labelsOf(forward, x));
    const eps = norm === 'linf' ? 0.01 : 0.1;
    const margin = async (adv: Tensor) => (await toRef(F.margin(forward(adv), labels))).data;
    const attack = async (queries: number) =>
      margin((await squareAttack(forward, x, labels, { norm, eps, queries }, attackRandom(3))).adv);
    const [clean, few, many] = [await margin(x), await attack(1), await attack(60)];
    expect(many.every((v, i) => v >= few[i] || v > 0)).toBe(true); // whatever fools is kept
    expect(many.every((v, i) => v > clean[i])).toBe(true);
  });
});
