/** conv2d and both gradients over random geometries, and laws that hold without any reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conv2d, conv2dInputGrad, conv2dWeightGrad, convShape } from '../../src/tensor/conv.ts';
import { add, mul } from '../../src/tensor/elementwise.ts';
import { full, ones, scope } from '../../src/tensor/tensor.ts';
import { between, checkForward, checkGradient, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { type Ref, zip } from '../reference/array.ts';
import * as reference from '../reference/conv.ts';

const device = await testDevice();
/** Random geometries share few programs, and lavapipe takes a second or more to compile one. */
const runs = device.adapter.kind === 'lavapipe' ? { many: 8, few: 2 } : { many: 40, few: 8 };

interface Geometry {
  n: number;
  groups: number;
  /** Channels of one group. */
  ci: number;
  co: number;
  h: number;
  w: number;
  kernel: [number, number];
  stride: number;
  padding: number;
  dilation: number;
}

const extents = (g: Geometry) =>
  [g.h, g.w].map((size, i) => reference.convExtent(size, g.kernel[i], g.stride, g.padding, g.dilation));

const geometries: fc.Arbitrary<Geometry> = fc
  .record({
    n: between(1, 3),
    groups: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, between(2, 3)),
    ci: between(1, 5),
    co: fc.oneof(between(1, 5), between(6, 19)),
    h: between(1, 11),
    w: fc.oneof(between(1, 13), fc.constantFrom(4, 8, 12)),
    kernel: fc.oneof(fc.constantFrom<[number, number]>([1, 1], [3, 3], [5, 5]), fc.tuple(between(1, 5), between(1, 5))),
    stride: between(1, 3),
    padding: between(0, 3),
    dilation: between(1, 2),
  })
  .filter(g => extents(g).every(size => size >= 1));

function inputs(g: Geometry, seed: number) {
  const x = random([g.n, g.ci * g.groups, g.h, g.w], seed);
  const w = random([g.co * g.groups, g.ci, ...g.kernel], seed + 1);
  const { stride, padding, dilation, groups } = g;
  const options = { stride, padding, dilation, groups };
  const pairs: reference.ConvOptions = {
    stride: [stride, stride],
    padding: [padding, padding],
    dilation: [dilation, dilation],
    groups,
  };
  return { x, w, options, pairs, gy: random(reference.convShape(x.shape, w.shape, pairs), seed + 2) };
}

describe('conv2d', () => {
  it('forward, input gradient and weight gradient', async () => {
    await forAll(
      fc.tuple(geometries, seeds),
      async ([geometry, seed]) => {
        const { x, w, gy, options, pairs } = inputs(geometry, seed);
        const [y, gx, gw] = await run(device, [x, w, gy], (tx, tw, tg) => [
          conv2d(tx, tw, options),
          conv2dInputGrad(tg, tw, tx.shape, options),
          conv2dWeightGrad(tx, tg, tw.shape, options),
        ]);
        checkForward('conv2d', y, reference.conv2d.forward(x, w, pairs));
        checkGradient('conv2d', [gx, gw], reference.conv2d.backward(x, w, pairs, gy));
      },
      runs.many,
    );
  });

  it('1x1 kernels of a stride: the input gradient added to another', async () => {
    await forAll(
      fc.tuple(geometries, seeds),
      async ([geometry, seed]) => {
        const pointwise: Geometry = {
          ...geometry,
          kernel: [1, 1],
          stride: Math.max(geometry.stride, 2),
          padding: geometry.padding % 3,
        };
        fc.pre(extents(pointwise).every(size => size >= 1));
        const { x, w, gy, options, pairs } = inputs(pointwise, seed);
        const before = random(x.shape, seed + 4);
        let asked = 0;
        const [gx] = await run(device, [w, gy, before], (tw, tg, tb) =>
          conv2dInputGrad(tg, tw, x.shape, options, () => {
            asked++;
            return tb;
          }),
        );
        const [expected] = reference.conv2d.backward(x, w, pairs, gy);
        // with padding, no position of a small image may be reached: then nothing is asked for
        const { stride, padding, h, w: columns } = pointwise;
        const first = (stride - (padding % stride)) % stride;
        expect(asked).toBe(first < Math.min(h, columns) ? 1 : 0);
        checkGradient('conv2d', gx, asked ? zip(expected, before, (a, b) => a + b) : expected);
      },
      runs.many,
    );
  });

  it('is linear in x and in w', async () => {
    await forAll(
      fc.tuple(geometries, seeds),
      async ([geometry, seed]) => {
        const { x, w, options } = inputs(geometry, seed);
        const [x2, w2] = [random(x.shape, seed + 5), random(w.shape, seed + 6)];
        const [byX, sumX, byW, sumW] = await run(device, [x, w, x2, w2], (tx, tw, tx2, tw2) => [
          conv2d(add(mul(tx, 3), tx2), tw, options),
          add(mul(conv2d(tx, tw, options), 3), conv2d(tx2, tw, options)),
          conv2d(tx, add(mul(tw, -2), tw2), options),
          add(mul(conv2d(tx, tw, options), -2), conv2d(tx, tw2, options)),
        ]);
        checkForward('conv2d', byX, sumX);
        checkForward('conv2d', byW, sumW);
      },
      runs.few,
    );
  });

  it('<conv(x, w), g> = <x, input gradient> = <w, weight gradient>', async () => {
    const total = (a: Ref, b: Ref) => zip(a, b, (p, q) => p * q).data.reduce((sum, v) => sum + v, 0);
    await forAll(
      fc.tuple(geometries, seeds),
      async ([geometry, seed]) => {
        const { x, w, gy, options } = inputs(geometry, seed);
        const [y, gx, gw] = await run(device, [x, w, gy], (tx, tw, tg) => [
          conv2d(tx, tw, options),
          conv2dInputGrad(tg, tw, tx.shape, options),
          conv2dWeightGrad(tx, tg, tw.shape, options),
        ]);
        const scale = Math.sqrt(total(y, y) * total(gy, gy)) + 1e-3;
        expect(Math.abs(total(x, gx) - total(y, gy)) / scale).toBeLessThan(1e-5);
        expect(Math.abs(total(w, gw) - total(y, gy)) / scale).toBeLessThan(1e-5);
      },
      runs.few,
    );
  });

  it('a shift of x by the stride shifts y by one, away from the border', async () => {
    const { x, w } = inputs(
      { n: 1, groups: 1, ci: 3, co: 5, h: 12, w: 15, kernel: [3, 3], stride: 2, padding: 0, dilation: 1 },
      7,
    );
    const shifted = { shape: x.shape, data: x.data.map((_, i) => x.data[i + 2 * 15 + 2] ?? 0) };
    const [y, z] = await run(device, [x, w, shifted], (tx, tw, ts) => [
      conv2d(tx, tw, { stride: 2 }),
      conv2d(ts, tw, { stride: 2 }),
    ]);
    const [, channels, rows, columns] = y.shape;
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i + 1 < rows - 1; i++) {
        for (let j = 0; j + 1 < columns; j++) {
          const at = (c * rows + i) * columns + j;
          expect(z.data[at]).toBe(y.data[at + columns + 1]);
        }
      }
    }
  });

  it('a real layer: 16 to 32 channels, batch 4, 16x16, strides 1 and 2', async () => {
    for (const stride of [1, 2]) {
      const geometry: Geometry = {
        n: 4,
        groups: 1,
        ci: 16,
        co: 32,
        h: 16,
        w: 16,
        kernel: [3, 3],
        stride,
        padding: 1,
        dilation: 1,
      };
      const { x, w, gy, options, pairs } = inputs(geometry, stride);
      const [y, gx, gw] = await run(device, [x, w, gy], (tx, tw, tg) => [
        conv2d(tx, tw, options),
        conv2dInputGrad(tg, tw, tx.shape, options),
        conv2dWeightGrad(tx, tg, tw.shape, options),
      ]);
      checkForward('conv2d', y, reference.conv2d.forward(x, w, pairs));
      checkGradient('conv2d', [gx, gw], reference.conv2d.backward(x, w, pairs, gy));
    }
  });

  it('more than 65 535 workgroups of columns and rows', async () => {
    const size = 4_300_000; // a kernel of one pixel: a tile of 8 columns an invocation, 8 tiles a workgroup
    const y = scope(device, () => conv2d(full(device, [1, 1, 1, size], 2), ones(device, [1, 1, 1, 1])));
    const got = await y.floats();
    expect(got.findIndex(v => v !== 2)).toBe(-1);
    y.dispose();
  });

  it('refuses what does not fit, naming both shapes', () => {
    expect(() => convShape([1, 3, 8, 8], [4, 2, 3, 3])).toThrow(
      'conv2d of x [1,3,8,8] with w [4,2,3,3]: channels do not fit 1 group',
    );
    expect(() => convShape([1, 3, 2, 2], [4, 3, 3, 3])).toThrow('the kernel is larger than the padded input');
    expect(() => convShape([3, 8, 8], [4, 3, 3, 3])).toThrow('x is [N, C, H, W]');
    expect(() => convShape([1, 3, 8, 8], [4, 1.5, 3, 3], { groups: 2 })).toThrow('channels do not fit 2 groups');
    const [x, w, g] = scope(device, () => [ones(device, [1, 3, 8, 8]), ones(device, [4, 3, 3, 3]), ones(device, [1, 4, 8, 8])]);
    expect(() => conv2dInputGrad(g, w, x.shape)).toThrow('conv2dInputGrad with g [1,4,8,8]: that of these sizes is [1,4,6,6]');
    expect(() => conv2dWeightGrad(x, g, w.shape, { stride: 2, padding: 1 })).toThrow(
      'conv2dWeightGrad with g [1,4,8,8]: that of these sizes is [1,4,4,4]',
    );
    for (const t of [x, w, g]) t.dispose();
  });

  it.each([
    ['stride', 0, 1],
    ['stride', 1.5, 1],
    ['padding', -1, 0],
    ['padding', 0.5, 0],
    ['dilation', 0, 1],
    ['groups', 0, 1],
    ['groups', Number.NaN, 1],
  ])('refuses %s %f', (name, value, least) => {
    expect(() => convShape([1, 2, 8, 8], [4, 2, 3, 3], { [name]: value })).toThrow(
      `conv2d of x [1,2,8,8] with w [4,2,3,3]: ${name} ${value}, where a whole number of ${least} or more is wanted`,
    );
  });
});
