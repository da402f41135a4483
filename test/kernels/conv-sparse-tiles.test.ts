/** The tiles that GPUs compute sparse convolutions with, by default or chosen by the tuner, against the reference: on software adapters too. */
import { describe, expect, it } from 'vitest';
import { convForward, convInputGrad, planConvolution } from '../../src/kernels/conv.ts';
import { forwardPass } from '../../src/kernels/conv-pass.ts';
import { type SparseTile, sparseMemory } from '../../src/kernels/conv-sparse.ts';
import { hasLists, largestSparseTiles } from '../../src/kernels/conv-sparse-tiles.ts';
import { conv2d, conv2dInputGrad, convShape } from '../../src/tensor/conv.ts';
import { empty } from '../../src/tensor/tensor.ts';
import { checkForward, checkGradient, random, run, testDevice } from '../engine.ts';
import type { Ref } from '../reference/array.ts';
import { type ConvOptions, conv2d as reference } from '../reference/conv.ts';

const device = await testDevice();
const { maxComputeInvocationsPerWorkgroup: invocations, maxComputeWorkgroupStorageSize: memory } = device.limits;

const pairsOf = (stride: number, padding: number): ConvOptions => ({
  stride: [stride, stride],
  padding: [padding, padding],
  dilation: [1, 1],
  groups: 1,
});

/** Random weights of which about a share is left. */
function thinned(shape: number[], density: number): Ref {
  const chance = random(shape, 4, 0, 1).data;
  return { shape, data: random(shape, 2).data.map((v, i) => (chance[i] < density ? v : 0)) };
}

/** Some of the images of [N, C, H, W]. */
function images({ shape: [, ...image], data }: Ref, which: readonly number[]): Ref {
  const size = image.reduce((a, b) => a * b);
  const picked = new Float64Array(which.length * size);
  for (const [i, n] of which.entries()) picked.set(data.slice(n * size, (n + 1) * size), i * size);
  return { shape: [which.length, ...image], data: picked };
}

// sizes that no tile divides; input channels of three chunks of 8, and of two of 16
const cases = [
  { name: '3x3 of stride 2', x: [10, 20, 9, 19], kernel: 3, stride: 2, padding: 1 },
  { name: '3x3', x: [19, 20, 7, 11], kernel: 3, stride: 1, padding: 1 },
  { name: '2x2', x: [35, 20, 5, 6], kernel: 2, stride: 1, padding: 0 },
].map(c => {
  const pairs = pairsOf(c.stride, c.padding);
  const [x, w] = [random(c.x, 1), thinned([38, 20, c.kernel, c.kernel], 0.2)];
  const y = reference.forward(x, w, pairs);
  const gy = random(y.shape, 3);
  const [gx] = reference.backward(x, w, pairs, gy);
  return { ...c, x, w, y, gy, gx, shape: convShape(x.shape, w.shape, { stride: c.stride, padding: c.padding }) };
});

/** With as many rows of channels as the device allows. */
function cut(tile: SparseTile): SparseTile {
  const most = Math.floor(invocations / (tile.tc * tile.tr * tile.ng));
  return { ...tile, wy: Math.min(tile.wy, 2 ** Math.floor(Math.log2(most))) };
}

describe.each(largestSparseTiles.map(cut).map(tile => ({ tile, name: Object.values(tile).join(' ') })))('$name', ({ tile }) => {
  const fitting = cases.filter(({ shape }) => sparseMemory(forwardPass(shape), tile) <= memory);
  // software adapters compile each for seconds: there, the first
  const tested = device.adapter.processor ? fitting.slice(0, 1) : fitting;

  it('fits', () => expect(fitting).not.toEqual([]));

  it.each(tested)('forward, $name', async ({ x, w, y, shape }) => {
    const [forward] = await run(device, [x, w], (tx, tw) => {
      const ty = empty(device, y.shape);
      convForward(device, tx.storage, tw.storage, ty.storage, shape, tile);
      return ty;
    });
    checkForward('conv2d from lists', forward, y);
  });

  // of stride 2 its phases have too few taps for lists
  it.each(tested.filter(({ stride }) => stride === 1))('input gradient, $name', async ({ x, w, gy, gx, shape }) => {
    const [inputGrad] = await run(device, [gy, w], (tg, tw) => {
      const tgx = empty(device, x.shape);
      convInputGrad(device, tg.storage, tw.storage, tgx.storage, shape, tile);
      return tgx;
    });
    checkGradient('conv2d from lists', inputGrad, gx);
  });
});

describe.skipIf(!hasLists(device))('the defaults of GPUs, batch 128, a tenth of the weights', () => {
  const density = 0.1;
  // the reference computes a few of the images: they do not know of each other
  const some = [0, 45, 127];
  const layers = [
    { ci: 64, co: 64, size: 32, stride: 1, needs: 30720 },
    { ci: 128, co: 128, size: 16, stride: 1, needs: 30720 },
    { ci: 256, co: 256, size: 8, stride: 1, needs: 20480 },
    { ci: 512, co: 512, size: 4, stride: 1, needs: 36864 },
    { ci: 128, co: 256, size: 16, stride: 2, needs: 21760 },
  ].filter(({ needs }) => needs <= memory);

  it.each(layers)('$ci to $co channels, $size x $size, stride $stride', async ({ ci, co, size, stride }) => {
    const pairs = pairsOf(stride, 1);
    const [x, w] = [random([128, ci, size, size], 1), thinned([co, ci, 3, 3], density)];
    const gy = random([128, co, size / stride, size / stride], 3);
    const shape = { ...convShape(x.shape, w.shape, { stride, padding: 1 }), density };
    expect(planConvolution(device, { pass: 'forward', shape }).tiles[0].kernel).toBe('sparse');
    const [forward, inputGrad] = await run(device, [x, w, gy], (tx, tw, tg) => [
      conv2d(tx, tw, { stride, padding: 1, density }),
      conv2dInputGrad(tg, tw, x.shape, { stride, padding: 1, density }),
    ]);
    const fewer = images(x, some);
    checkForward('conv2d from lists', images(forward, some), reference.forward(fewer, w, pairs));
    const [gx] = reference.backward(fewer, w, pairs, images(gy, some));
    checkGradient('conv2d from lists', images(inputGrad, some), gx);
  });
});
