/** Convolution, batch norm and pooling: gradients over random geometries, and PyTorch's numbers. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Ref, ref } from '../array.ts';
import { type ConvOptions, conv2d, convExtent } from '../conv.ts';
import { readFixture } from '../fixture.ts';
import { batchNormEval, batchNormTrain, batchStatistics, updateRunning } from '../norm.ts';
import { type AvgPoolOptions, adaptiveAvgPool2d, avgPool2d, maxPool2d } from '../pool.ts';
import { distinct, uniform } from '../random.ts';
import { expectClose, expectGradient } from './gradient.ts';

const seeds = fc.integer({ min: 0, max: 1e6 });
const between = (min: number, max: number) => fc.integer({ min, max });
const pairs = (min: number, max: number) => fc.tuple(between(min, max), between(min, max));
const fixture = readFixture('operations');

describe('conv2d', () => {
  const geometries = fc.record({
    batch: between(1, 2),
    groups: between(1, 3),
    inputs: between(1, 2),
    outputs: between(1, 2),
    image: pairs(1, 6),
    kernel: pairs(1, 3),
    stride: pairs(1, 3),
    padding: pairs(0, 2),
    dilation: pairs(1, 2),
  });
  it('gradient by input and weight', () => {
    fc.assert(
      fc.property(geometries, seeds, ({ batch, groups, inputs, outputs, image, kernel, stride, padding, dilation }, seed) => {
        fc.pre([0, 1].every(i => convExtent(image[i], kernel[i], stride[i], padding[i], dilation[i]) >= 1));
        const x = uniform([batch, groups * inputs, ...image], seed);
        const w = uniform([groups * outputs, inputs, ...kernel], seed + 1);
        const options = { stride, padding, dilation, groups };
        expectGradient(
          [x, w],
          (a, b) => conv2d.forward(a, b, options),
          (g, a, b) => conv2d.backward(a, b, options, g),
          seed,
        );
      }),
    );
  });
  fixture.meta<ConvOptions[]>('convs').forEach((options, i) => {
    it(`is as in PyTorch: ${JSON.stringify(options)}`, () => {
      const [x, w] = [fixture.get(`conv.${i}.in.x`), fixture.get(`conv.${i}.in.w`)];
      expectClose(conv2d.forward(x, w, options), fixture.get(`conv.${i}.out`));
      const [dx, dw] = conv2d.backward(x, w, options, fixture.get(`conv.${i}.g`));
      expectClose(dx, fixture.get(`conv.${i}.grad.x`));
      expectClose(dw, fixture.get(`conv.${i}.grad.w`));
    });
  });
});

describe('batch norm', () => {
  const shapes = fc.tuple(between(2, 4), between(1, 3), between(1, 3), between(2, 4));
  for (const relu of [false, true]) {
    const options = { relu, eps: 1e-3 };
    it(`train mode${relu ? ' with relu' : ''}: gradient by x, gamma, beta`, () => {
      fc.assert(
        fc.property(shapes, seeds, (shape, seed) => {
          const inputs = [uniform(shape, seed, -2, 3), uniform([shape[1]], seed + 1), uniform([shape[1]], seed + 2)];
          fc.pre(!relu || awayFromZero(batchNormTrain.forward(inputs[0], inputs[1], inputs[2], { eps: 1e-3 })));
          expectGradient(
            inputs,
            (x, gamma, beta) => batchNormTrain.forward(x, gamma, beta, options),
            (g, x, gamma, beta) => batchNormTrain.backward(x, gamma, beta, options, g),
            seed,
            1e-5,
          );
        }),
      );
    });
    it(`eval mode${relu ? ' with relu' : ''}: gradient by x, gamma, beta`, () => {
      fc.assert(
        fc.property(shapes, seeds, (shape, seed) => {
          const inputs = [uniform(shape, seed, -2, 3), uniform([shape[1]], seed + 1), uniform([shape[1]], seed + 2)];
          const running = { mean: uniform([shape[1]], seed + 3), variance: uniform([shape[1]], seed + 4, 0.5, 2) };
          fc.pre(!relu || awayFromZero(batchNormEval.forward(inputs[0], inputs[1], inputs[2], running, { eps: 1e-3 })));
          expectGradient(
            inputs,
            (x, gamma, beta) => batchNormEval.forward(x, gamma, beta, running, options),
            (g, x, gamma, beta) => batchNormEval.backward(x, gamma, beta, running, options, g),
            seed,
          );
        }),
      );
    });
    it(`is as in PyTorch${relu ? ' with relu' : ''}, running statistics too`, () => {
      for (const mode of ['train', 'eval']) {
        const name = `norm.${mode}.${relu ? 'relu' : 'plain'}`;
        const [x, gamma, beta] = ['x', 'gamma', 'beta'].map(input => fixture.get(`${name}.in.${input}`));
        const running = { mean: fixture.get(`${name}.mean`), variance: fixture.get(`${name}.var`) };
        const g = fixture.get(`${name}.g`);
        const train = mode === 'train';
        expectClose(
          train ? batchNormTrain.forward(x, gamma, beta, { relu }) : batchNormEval.forward(x, gamma, beta, running, { relu }),
          fixture.get(`${name}.out`),
        );
        const gradients = train
          ? batchNormTrain.backward(x, gamma, beta, { relu }, g)
          : batchNormEval.backward(x, gamma, beta, running, { relu }, g);
        ['x', 'gamma', 'beta'].forEach((input, i) => {
          expectClose(gradients[i], fixture.get(`${name}.grad.${input}`));
        });
        const after = train ? updateRunning(x, running) : running;
        expectClose(after.mean, fixture.get(`${name}.meanAfter`));
        expectClose(after.variance, fixture.get(`${name}.varAfter`));
      }
    });
  }
  it('normalises: zero mean, unit variance', () => {
    const y = batchNormTrain.forward(uniform([4, 3, 5, 5], 1, 3, 9), ref([3], 1), ref([3], 0), { eps: 0 });
    expectClose(batchStatistics(y).variance, ref([3], 1));
    expect(Math.max(...batchStatistics(y).mean.data.map(Math.abs))).toBeLessThan(1e-12);
  });
});

const awayFromZero = (y: Ref) => y.data.every(value => Math.abs(value) > 1e-4);

describe('pooling', () => {
  const geometries = fc
    .record({ image: pairs(2, 6), kernel: pairs(1, 3), stride: pairs(1, 3), padFlags: fc.tuple(fc.boolean(), fc.boolean()) })
    .map(({ padFlags, ...rest }) => ({
      ...rest,
      padding: rest.kernel.map((k, i) => (padFlags[i] ? Math.floor(k / 2) : 0)) as [number, number],
    }))
    .filter(({ image, kernel, padding }) => image.every((n, i) => n + 2 * padding[i] >= kernel[i]));
  const inputs = (image: [number, number], seed: number) => [distinct([2, 2, ...image], seed)];

  it('max: gradient', () => {
    fc.assert(
      fc.property(geometries, seeds, ({ image, ...options }, seed) => {
        expectGradient(
          inputs(image, seed),
          x => maxPool2d.forward(x, options),
          (g, x) => [maxPool2d.backward(x, options, g)],
          seed,
        );
      }),
    );
  });
  it('average: gradient', () => {
    fc.assert(
      fc.property(geometries, fc.boolean(), seeds, ({ image, ...rest }, countIncludePad, seed) => {
        const options: AvgPoolOptions = { ...rest, countIncludePad };
        expectGradient(
          inputs(image, seed),
          x => avgPool2d.forward(x, options),
          (g, x) => [avgPool2d.backward(x, options, g)],
          seed,
        );
      }),
    );
  });
  it('adaptive average: gradient', () => {
    fc.assert(
      fc.property(pairs(1, 7), pairs(1, 7), seeds, (image, size, seed) => {
        const { forward, backward } = adaptiveAvgPool2d;
        expectGradient(
          inputs(image, seed),
          x => forward(x, size),
          (g, x) => [backward(x, size, g)],
          seed,
        );
      }),
    );
  });
  it('among equal values the first of the window takes the gradient', () => {
    const options = { kernel: [2, 2], stride: [2, 2], padding: [0, 0] } as AvgPoolOptions;
    expect([...maxPool2d.backward(ref([1, 1, 2, 2], 3), options, ref([1, 1, 1, 1], 1)).data]).toEqual([1, 0, 0, 0]);
  });

  type Case = { kind: 'max' | 'avg'; options: AvgPoolOptions } | { kind: 'adaptive'; options: { size: [number, number] } };
  fixture.meta<Case[]>('pools').forEach((pool, i) => {
    it(`is as in PyTorch: ${JSON.stringify(pool)}`, () => {
      const x = fixture.get(`pool.${i}.in.x`);
      const g = fixture.get(`pool.${i}.g`);
      const [y, dx] =
        pool.kind === 'adaptive'
          ? [adaptiveAvgPool2d.forward(x, pool.options.size), adaptiveAvgPool2d.backward(x, pool.options.size, g)]
          : pool.kind === 'max'
            ? [maxPool2d.forward(x, pool.options), maxPool2d.backward(x, pool.options, g)]
            : [avgPool2d.forward(x, pool.options), avgPool2d.backward(x, pool.options, g)];
      expectClose(y, fixture.get(`pool.${i}.out`));
      expectClose(dx, fixture.get(`pool.${i}.grad.x`));
    });
  });
});
