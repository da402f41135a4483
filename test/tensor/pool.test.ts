/** Pooling and its gradients against the float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  adaptiveAvgPool2d,
  adaptiveAvgPool2dBackward,
  avgPool2d,
  avgPool2dBackward,
  maxPool2d,
  maxPool2dBackward,
} from '../../src/tensor/pool.ts';
import { scope, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, checkForward, checkGradient, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { map, ref } from '../reference/array.ts';
import * as reference from '../reference/pool.ts';

const device = await testDevice();

const geometries = fc
  .record({
    planes: fc.tuple(between(1, 3), between(1, 3)),
    h: between(1, 9),
    w: between(1, 9),
    kernel: between(1, 4),
    stride: between(1, 4),
    pad: between(0, 2),
    countIncludePad: fc.boolean(),
    seed: seeds,
  })
  .map(({ pad, ...rest }) => ({ ...rest, padding: Math.min(pad, Math.floor(rest.kernel / 2)) }))
  .filter(g => [g.h, g.w].every(size => size + 2 * g.padding >= g.kernel));

const pairs = ({
  kernel,
  stride,
  padding,
  countIncludePad,
}: {
  kernel: number;
  stride: number;
  padding: number;
  countIncludePad?: boolean;
}) => ({
  kernel: [kernel, kernel] as [number, number],
  stride: [stride, stride] as [number, number],
  padding: [padding, padding] as [number, number],
  countIncludePad,
});

describe('pooling', () => {
  it('max, with many equal values: the gradient goes to the first of a window', async () => {
    await forAll(geometries, async g => {
      const x = map(random([...g.planes, g.h, g.w], g.seed), v => Math.round(v * 2));
      const y = reference.maxPool2d.forward(x, pairs(g));
      const gy = random(y.shape, g.seed + 1);
      const [actual, gx] = await run(device, [x, gy], (tx, tg) => {
        const pooled = maxPool2d(tx, g);
        return [pooled.y, maxPool2dBackward(tg, pooled.at, tx.shape, g)];
      });
      checkForward('maxPool2d', actual, y, 0);
      checkGradient('maxPool2d', gx, reference.maxPool2d.backward(x, pairs(g), gy));
    });
  });

  it('average, padding counted or not', async () => {
    await forAll(geometries, async g => {
      const x = random([...g.planes, g.h, g.w], g.seed);
      const y = reference.avgPool2d.forward(x, pairs(g));
      const gy = random(y.shape, g.seed + 1);
      const [actual, gx] = await run(device, [x, gy], (tx, tg) => [avgPool2d(tx, g), avgPool2dBackward(tg, tx.shape, g)]);
      checkForward('avgPool2d', actual, y);
      checkGradient('avgPool2d', gx, reference.avgPool2d.backward(x, pairs(g), gy));
    });
  });

  it('adaptive average, bins of unequal sizes, also more bins than elements', async () => {
    await forAll(
      fc.record({
        planes: between(1, 3),
        h: between(1, 11),
        w: between(1, 11),
        bins: fc.oneof(fc.tuple(between(1, 7), between(1, 7)), fc.constant([1, 1] as const)),
        seed: seeds,
      }),
      async ({ planes, h, w, bins: [oh, ow], seed }) => {
        const x = random([1, planes, h, w], seed);
        const gy = random([1, planes, oh, ow], seed + 1);
        const [actual, gx] = await run(device, [x, gy], (tx, tg) => [
          adaptiveAvgPool2d(tx, [oh, ow]),
          adaptiveAvgPool2dBackward(tg, tx.shape),
        ]);
        checkForward('adaptiveAvgPool2d', actual, reference.adaptiveAvgPool2d.forward(x, [oh, ow]));
        checkGradient('adaptiveAvgPool2d', gx, reference.adaptiveAvgPool2d.backward(x, [oh, ow], gy));
      },
    );
  });

  it('NaN in a window is its maximum, as in PyTorch', async () => {
    const x = ref([1, 1, 2, 4], [1, Number.NaN, 5, 6, 2, 3, 7, 8]);
    const [y] = await run(device, [x], t => maxPool2d(t, { kernel: 2 }).y);
    expect([...y.data]).toEqual([Number.NaN, 8]);
  });

  it('refuses padding above half the window, and windows larger than the input', () => {
    const x = () => zeros(device, [1, 1, 2, 2]);
    expect(() => scope(device, () => avgPool2d(x(), { kernel: 3, padding: 2 }))).toThrow('more than half');
    expect(() => scope(device, () => maxPool2d(x(), { kernel: 3 }))).toThrow('larger than the padded input');
  });

  it.each([[[4, 4]], [[2, 4, 4]], [[1, 1, 2, 4, 4]]])('refuses [%s], which is no [N, C, H, W]', shape => {
    const message = `pooling of [${shape}]: [N, C, H, W] is wanted`;
    const pools = [maxPool2d, avgPool2d].map(pool => (x: Tensor) => pool(x, { kernel: 2 }));
    for (const pool of [...pools, (x: Tensor) => adaptiveAvgPool2d(x, [1, 1])])
      expect(() => scope(device, () => pool(zeros(device, shape)))).toThrow(message);
  });

  it('refuses windows, steps, padding and grids that are no whole numbers', () => {
    const x = () => zeros(device, [1, 1, 4, 4]);
    const refuse = (work: () => unknown, message: string) => expect(() => scope(device, work)).toThrow(message);
    refuse(() => maxPool2d(x(), { kernel: 2, stride: 0 }), 'pooling of [1,1,4,4]: stride 0, where a whole number of 1 or more');
    refuse(() => avgPool2d(x(), { kernel: 1.5 }), 'window 1.5, where a whole number');
    refuse(() => avgPool2d(x(), { kernel: 2, padding: -1 }), 'padding -1, where a whole number of 0 or more');
    refuse(() => adaptiveAvgPool2d(x(), [0, 1]), 'pooling of [1,1,4,4] to [0,1]: height 0');
  });
});
