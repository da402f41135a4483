/** Derivatives of the three passes of a convolution: each is an operation of its own, and each is differentiated twice. */
import fc from 'fast-check';
import { describe, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { between, checkForward, checkGradient, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { map, type Ref, zip } from '../reference/array.ts';
import * as reference from '../reference/conv.ts';
import { checkOperation, type Operation } from './operation.ts';

const device = await testDevice();

/** Kernels are compiled for each kernel width, stride, padding, dilation and some widths, and slowly without a GPU: few of these. */
const geometries = [
  { kernel: 3, stride: 1, padding: 1, dilation: 1, groups: 1 },
  { kernel: 3, stride: 2, padding: 1, dilation: 1, groups: 1 },
  { kernel: 1, stride: 2, padding: 0, dilation: 1, groups: 1 },
  { kernel: 3, stride: 1, padding: 2, dilation: 2, groups: 2 },
];

describe('a projection beside a convolution of the same stride', () => {
  it.each([8, 7])('the gradient by their common input, %i columns', async columns => {
    const [x, w3, w1] = [random([2, 3, 6, columns], 1), random([4, 3, 3, 3], 2), random([4, 3, 1, 1], 3)];
    const [by3, by1] = [1, 0].map(
      (p): reference.ConvOptions => ({ stride: [2, 2], padding: [p, p], dilation: [1, 1], groups: 1 }),
    );
    const g = random(reference.convShape(x.shape, w3.shape, by3), 4);
    const sum = (input: Ref) =>
      zip(reference.conv2d.forward(input, w3, by3), reference.conv2d.forward(input, w1, by1), (a, b) => a + b);
    const h = map(x, v => 2 * v);
    const [[a], [b]] = [reference.conv2d.backward(h, w3, by3, g), reference.conv2d.backward(h, w1, by1, g)];
    const byH = zip(a, b, (p, q) => p + q);
    for (const createGraph of [false, true]) {
      const [y, gh, gx] = await run(device, [x, w3, w1, g], (tx, tw3, tw1, tg) => {
        const leaf = F.track(tx);
        const th = F.mul(leaf, 2);
        // backward runs from last to first: the projection finds the gradient of the other
        const skip = F.conv2d(th, tw1, { stride: 2 });
        const y = F.add(F.conv2d(th, tw3, { stride: 2, padding: 1 }), skip);
        return [y, ...F.grad(y, [th, leaf], { seed: tg, createGraph })];
      });
      checkForward('conv2d', y, sum(h));
      checkGradient('conv2d', [gh, gx], [byH, map(byH, v => 2 * v)]);
    }
  });
});

describe.each(geometries)('kernel $kernel, stride $stride, padding $padding, dilation $dilation, groups $groups', geometry => {
  const { kernel, groups, ...rest } = geometry;
  const options = { ...rest, groups };
  const pairs: reference.ConvOptions = {
    stride: [rest.stride, rest.stride],
    padding: [rest.padding, rest.padding],
    dilation: [rest.dilation, rest.dilation],
    groups,
  };
  const examples = fc.tuple(between(1, 3), fc.constantFrom(1, 3), between(1, 4), between(5, 7), fc.constantFrom(6, 8), seeds);

  const sizes = ([n, ci, co, h, w]: number[]) => {
    const xShape = [n, ci * groups, h, w];
    const wShape = [co * groups, ci, kernel, kernel];
    return { xShape, wShape, yShape: reference.convShape(xShape, wShape, pairs) };
  };

  it('forward', async () => {
    const op: Operation = {
      name: 'conv2d',
      device: (x, w) => F.conv2d(x, w, options),
      forward: (x, w) => reference.conv2d.forward(x, w, pairs),
      backward: (g, x, w) => reference.conv2d.backward(x, w, pairs, g),
    };
    await forAll(
      examples,
      example => {
        const { xShape, wShape } = sizes(example);
        const seed = example[5];
        return checkOperation(device, op, [random(xShape, seed + 8), random(wShape, seed + 9)], seed);
      },
      6,
    );
  });

  it('input gradient', async () => {
    await forAll(
      examples,
      example => {
        const { xShape, wShape, yShape } = sizes(example);
        const op: Operation = {
          name: 'conv2dInputGrad',
          device: (g, w) => F.conv2dInputGrad(g, w, xShape, options),
          forward: (g, w) => reference.conv2d.inputGradient(xShape, w, pairs, g),
          backward: (gg, g, w) => [reference.conv2d.forward(gg, w, pairs), reference.conv2d.weightGradient(gg, wShape, pairs, g)],
        };
        const seed = example[5];
        return checkOperation(device, op, [random(yShape, seed + 8), random(wShape, seed + 9)], seed);
      },
      4,
    );
  });

  it('weight gradient', async () => {
    await forAll(
      examples,
      example => {
        const { xShape, wShape, yShape } = sizes(example);
        const op: Operation = {
          name: 'conv2dWeightGrad',
          device: (x, g) => F.conv2dWeightGrad(x, g, wShape, options),
          forward: (x, g) => reference.conv2d.weightGradient(x, wShape, pairs, g),
          backward: (gg, x, g) => [reference.conv2d.inputGradient(xShape, gg, pairs, g), reference.conv2d.forward(x, gg, pairs)],
        };
        const seed = example[5];
        return checkOperation(device, op, [random(xShape, seed + 8), random(yShape, seed + 9)], seed);
      },
      4,
    );
  });
});
