/** Batch normalisation in train and eval mode, with and without ReLU, against the float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Device } from '../../src/device/index.ts';
import {
  type NormPlan,
  normalise,
  normBackward,
  normSums,
  normTrain,
  normTrainBackward,
  type Running,
  runningStats,
} from '../../src/tensor/norm.ts';
import { mean } from '../../src/tensor/reduce.ts';
import { slice } from '../../src/tensor/shape.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { asGpu, between, checkForward, checkGradient, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { map, type Ref, ref, zip } from '../reference/array.ts';
import * as reference from '../reference/norm.ts';

const own = await testDevice();
const gpu = asGpu(own);
const eps = 1e-5;
/** Bound of the gradients by gamma and beta: sums of up to 5·81 values that may cancel. */
const sums = 5e-5;

/** [N, C, H, W] or [N, C]; enough values a channel that no variance is tiny: the gradient by x grows with its inverse root. */
const shapes = fc
  .oneof(
    fc.tuple(between(1, 5), fc.oneof(between(1, 6), between(60, 70)), between(1, 9), between(1, 9)),
    fc.tuple(between(8, 40), between(1, 9)),
    // channels that an invocation does not walk alone
    fc.tuple(between(3, 9), between(1, 6), between(18, 22), fc.constantFrom(20, 21)),
  )
  .filter(([n, , h = 1, w = 1]) => n * h * w >= 8);

/** Inputs; where ReLU follows, no value may lie so near to 0 that rounding decides whether it passes. */
function inputs(shape: readonly number[], seed: number) {
  const c = shape[1];
  return {
    x: random(shape, seed, -2, 3),
    gamma: random([c], seed + 1, 0.3, 2),
    beta: random([c], seed + 2),
    g: random(shape, seed + 3),
    /** Another gradient by x. */
    before: random(shape, seed + 6),
    running: { mean: random([c], seed + 4), variance: random([c], seed + 5, 0.5, 2) },
  };
}
const decided = (y: Ref) => y.data.every(v => Math.abs(v) > 1e-5);

/** Rows 0 (the gradient by beta) and 1 (by gamma) of normSums. */
const rows = (sums: Tensor) => [0, 1].map(i => slice(sums, [i, 0], [1, sums.shape[1]]).reshape([-1]));

/** `slices` with the workgroups of a processor, and with those of a GPU, whose barriers take software adapters a second a run. */
const plans: readonly { name: string; plan: NormPlan; device: Device; share: number }[] = [
  { name: 'channels', plan: 'channels', device: own, share: 1 },
  { name: 'slices', plan: 'slices', device: own, share: 1 },
  { name: 'slices as on a GPU', plan: 'slices', device: gpu, share: 0.2 },
];

describe.each(plans.flatMap(plan => [false, true].map(relu => ({ ...plan, relu }))))(
  'batch norm by $name, relu $relu',
  ({ plan, relu, device, share }) => {
    const name = relu ? 'batchNorm + relu' : 'batchNorm';

    it('train mode: output, running statistics, gradients by x, gamma, beta', async () => {
      await forAll(
        fc.tuple(shapes, seeds, fc.boolean()),
        async ([shape, seed, more]) => {
          const { x, gamma, beta, g, before, running } = inputs(shape, seed);
          fc.pre(decided(reference.batchNormTrain.forward(x, gamma, beta, { eps })));
          const [y, gx, byBeta, byGamma, newMean, newVar] = await run(
            device,
            [x, gamma, beta, g, before, running.mean, running.variance],
            (tx, tGamma, tBeta, tg, tBefore, tMean, tVar) => {
              const update: Running = { mean: tMean, var: tVar, momentum: 0.1 };
              const { y, stats } = normTrain(tx, tGamma, tBeta, { eps, relu, running: update }, plan);
              const { gx, sums } = normTrainBackward(tx, tg, stats, { relu, before: more ? tBefore : undefined }, plan);
              return [y, gx, ...rows(sums), tMean, tVar];
            },
          );
          checkForward(`${name} train`, y, reference.batchNormTrain.forward(x, gamma, beta, { eps, relu }));
          const [rx, rGamma, rBeta] = reference.batchNormTrain.backward(x, gamma, beta, { eps, relu }, g);
          // the gradient by x is what is left of g after two projections, times up to 3/sqrt(variance)
          checkGradient(`${name} train`, gx, more ? zip(rx, before, (a, b) => a + b) : rx, 3e-5);
          checkGradient(`${name} train`, [byGamma, byBeta], [rGamma, rBeta], sums);
          const after = reference.updateRunning(x, running, 0.1);
          checkForward('running statistics', newMean, after.mean);
          checkForward('running statistics', newVar, after.variance);
        },
        25 * share,
      );
    });

    it('eval mode: output and gradients', async () => {
      await forAll(
        fc.tuple(shapes, seeds, fc.boolean()),
        async ([shape, seed, more]) => {
          const { x, gamma, beta, g, before, running } = inputs(shape, seed);
          fc.pre(decided(reference.batchNormEval.forward(x, gamma, beta, running, { eps })));
          const [y, gx, byBeta, byGamma] = await run(
            device,
            [x, gamma, beta, g, before, running.mean, running.variance],
            (tx, tGamma, tBeta, tg, tBefore, tMean, tVar) => {
              const stats = runningStats(tGamma, tBeta, tMean, tVar, eps);
              return [
                normalise(tx, stats, relu, plan),
                normBackward(tx, tg, stats, { relu, before: more ? tBefore : undefined }, plan),
                ...rows(normSums(tx, tg, stats, relu, plan)),
              ];
            },
          );
          checkForward(`${name} eval`, y, reference.batchNormEval.forward(x, gamma, beta, running, { eps, relu }));
          const [rx, rGamma, rBeta] = reference.batchNormEval.backward(x, gamma, beta, running, { eps, relu }, g);
          checkGradient(`${name} eval`, gx, more ? zip(rx, before, (a, b) => a + b) : rx);
          checkGradient(`${name} eval`, [byGamma, byBeta], [rGamma, rBeta], sums);
        },
        15 * share,
      );
    });
  },
);

describe.each(plans)('batch statistics by $name', ({ plan, device }) => {
  it('a large mean does not swallow the variance', async () => {
    const x = random([8, 2, 16, 16], 3, 1000, 1001);
    const [stats] = await run(
      device,
      [x, ref([2], 1), ref([2], 0)],
      (tx, gamma, beta) => normTrain(tx, gamma, beta, { eps, relu: false }, plan).stats,
    );
    const { mean: mu, variance } = reference.batchStatistics(x);
    checkForward('batch statistics', ref([2], stats.data.slice(0, 2)), mu);
    checkForward(
      'batch statistics',
      ref([2], stats.data.slice(2, 4)),
      map(variance, v => 1 / Math.sqrt(v + eps)),
    );
  });

  it('many slices of images are added up', async () => {
    const x = random([70, 3, 9, 9], 4);
    const [y] = await run(
      device,
      [x, ref([3], 1), ref([3], 0)],
      (tx, gamma, beta) => normTrain(tx, gamma, beta, { eps, relu: false }, plan).y,
    );
    checkForward('batchNorm train', y, reference.batchNormTrain.forward(x, ref([3], 1), ref([3], 0), { eps }));
  });

  it('the same bits again, the running statistics moved once', async () => {
    const x = random([64, 3, 8, 8], 6);
    const once = () =>
      run(device, [x, ref([3], 1), ref([3], 0), ref([3], 0), ref([3], 1)], (tx, gamma, beta, mu, variance) => {
        const update: Running = { mean: mu, var: variance, momentum: 0.1 };
        const { y, stats } = normTrain(tx, gamma, beta, { eps, relu: true, running: update }, plan);
        const { gx, sums } = normTrainBackward(tx, y, stats, { relu: true }, plan);
        return [y, stats, gx, sums, mu, variance];
      });
    const first = await once();
    const after = reference.updateRunning(x, { mean: ref([3], 0), variance: ref([3], 1) }, 0.1);
    checkForward('running statistics', first[4], after.mean);
    checkForward('running statistics', first[5], after.variance);
    expect(await once()).toEqual(first);
  });

  it('a normalised batch has mean 0', async () => {
    const x = random([4, 5, 7, 7], 5, 2, 9);
    const [mu] = await run(device, [x, ref([5], 1), ref([5], 0)], (tx, gamma, beta) =>
      mean(normTrain(tx, gamma, beta, { eps, relu: false }, plan).y, { axes: [0, 2, 3] }),
    );
    expect(Math.max(...mu.data.map(Math.abs))).toBeLessThan(1e-5);
  });

  it.runIf(process.env.SPARROW_TEST_FULL)(
    'more than 65 535 channels (slow)',
    async () => {
      const c = 70_001;
      const x = random([2, c], 6);
      const [y] = await run(
        device,
        [x, ref([c], 1), ref([c], 0)],
        (tx, gamma, beta) => normTrain(tx, gamma, beta, { eps, relu: false }, plan).y,
      );
      checkForward('batchNorm train', y, reference.batchNormTrain.forward(x, ref([c], 1), ref([c], 0), { eps }), 1e-3);
    },
    600_000, // a workgroup a channel, each with barriers: minutes where a slow processor plays the GPU
  );
});
