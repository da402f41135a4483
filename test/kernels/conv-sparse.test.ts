/** Convolutions from lists of weights give what dense ones of the same weights give, with any tile; and GPUs take them where weights are few. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { convForward, convInputGrad, planConvolution } from '../../src/kernels/conv.ts';
import { convCandidates } from '../../src/kernels/conv-choices.ts';
import { forwardPass, inputGradPasses } from '../../src/kernels/conv-pass.ts';
import { type SparseTile, sparseMemory } from '../../src/kernels/conv-sparse.ts';
import { hasLists } from '../../src/kernels/conv-sparse-tiles.ts';
import { densityKey } from '../../src/kernels/conv-tiles.ts';
import { convShape } from '../../src/tensor/conv.ts';
import { capture, empty } from '../../src/tensor/tensor.ts';
import { asGpu, checkForward, checkGradient, fromRef, random, run, testDevice, toRef } from '../engine.ts';
import type { Ref } from '../reference/array.ts';
import { type ConvOptions, conv2d as reference } from '../reference/conv.ts';

const device = await testDevice();

/** Weights of which about a share is left. */
function thinned(w: Ref, density: number, seed: number): Ref {
  const chance = random(w.shape, seed, 0, 1).data;
  return { shape: w.shape, data: w.data.map((v, i) => (chance[i] < density ? v : 0)) };
}

// few programs, for each is compiled: what makes a program is drawn from short lists, what it is given from long ones
const small: SparseTile = { kernel: 'sparse', tc: 4, tr: 2, ng: 2, nv: 1, g: 1, wy: 2, depth: 2, u: 2, slices: 1 };
const sliced: SparseTile = { kernel: 'sparse', tc: 8, tr: 4, ng: 1, nv: 1, g: 2, wy: 1, depth: 3, u: 4, slices: 2 };
const deep: SparseTile = { kernel: 'sparse', tc: 2, tr: 2, ng: 2, nv: 2, g: 1, wy: 4, depth: 3, u: 4, slices: 1 };
const kernels = [
  { size: 3, stride: 1, padding: 1, dilation: 1, groups: 1, tiles: [small, sliced, deep] },
  { size: 3, stride: 2, padding: 1, dilation: 1, groups: 1, tiles: [sliced] },
  { size: 2, stride: 1, padding: 0, dilation: 2, groups: 2, tiles: [deep] },
  { size: 1, stride: 2, padding: 0, dilation: 1, groups: 1, tiles: [small] },
] as const;

describe.each(kernels)('kernel $size, stride $stride, padding $padding, dilation $dilation, groups $groups', kernel => {
  it.each(kernel.tiles.map(tile => ({ tile, name: Object.values(tile).join(' ') })))('$name', async ({ tile }) => {
    const { size, stride, padding, dilation, groups } = kernel;
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          n: fc.integer({ min: 1, max: 10 }),
          ci: fc.integer({ min: 1, max: 7 }),
          co: fc.integer({ min: 1, max: 11 }),
          h: fc.integer({ min: 3, max: 9 }),
          w: fc.integer({ min: 3, max: 11 }),
          density: fc.constantFrom(0, 0.02, 0.2, 0.6, 1),
          seed: fc.nat(2 ** 31),
        }),
        async ({ n, ci, co, h, w, density, seed }) => {
          const pairs: ConvOptions = {
            stride: [stride, stride],
            padding: [padding, padding],
            dilation: [dilation, dilation],
            groups,
          };
          const x = random([n, ci * groups, h, w], seed);
          const weights = thinned(random([co * groups, ci, size, size], seed + 1), density, seed + 2);
          const y = reference.forward(x, weights, pairs);
          const gy = random(y.shape, seed + 3);
          const [gx] = reference.backward(x, weights, pairs, gy);
          const shape = convShape(x.shape, weights.shape, { stride, padding, dilation, groups });
          const memory = [forwardPass(shape), ...inputGradPasses(shape).passes].map(pass => sparseMemory(pass, tile));
          expect(Math.max(...memory)).toBeLessThanOrEqual(16384);
          const [forward, inputGrad] = await run(device, [x, weights, gy], (tx, tw, tg) => {
            const [ty, tgx] = [empty(device, y.shape), empty(device, x.shape)];
            convForward(device, tx.storage, tw.storage, ty.storage, shape, tile);
            convInputGrad(device, tg.storage, tw.storage, tgx.storage, shape, tile);
            return [ty, tgx];
          });
          checkForward('conv2d from lists', forward, y);
          checkGradient('conv2d from lists', inputGrad, gx);
        },
      ),
      { numRuns: 8 },
    );
  });
});

it('lists are made anew when weights change, within a captured step too', async () => {
  const shape = convShape([4, 6, 5, 5], [8, 6, 3, 3], { padding: 1 });
  const pairs: ConvOptions = { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
  const x = random([4, 6, 5, 5], 1);
  const [tx, tw, ty] = [fromRef(device, x), empty(device, [8, 6, 3, 3]).keep(), empty(device, [4, 8, 5, 5]).keep()];
  const step = capture(device, () => convForward(device, tx.storage, tw.storage, ty.storage, shape, sliced));
  await step.capture.ready();
  for (const seed of [2, 3]) {
    const w = thinned(random([8, 6, 3, 3], seed), 0.2, seed + 10);
    tw.write(w.data);
    step.run();
    checkForward('conv2d from lists', await toRef(ty), reference.forward(x, w, pairs));
  }
  step.dispose();
  for (const t of [tx, tw, ty]) t.dispose();
});

it('slices whose sums no buffer could hold are not for a tuner to try', () => {
  const gpu = asGpu(device);
  const most = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const n = Math.floor(most / (3 * 4 * 64 * 32 * 32)); // y three times
  const shape = { ...convShape([n, 64, 32, 32], [64, 64, 3, 3], { padding: 1 }), density: 0.2 };
  const candidates = convCandidates(gpu, { pass: 'forward', shape });
  expect(new Set(candidates.flatMap(t => (t.kernel === 'sparse' ? t.slices : [])))).toEqual(new Set([1, 2]));
});

it('layers of few output channels, which would share the loads among few invocations, keep the dense kernel', () => {
  const gpu = asGpu(device);
  const shape = (ci: number, co: number) => ({ ...convShape([128, ci, 32, 32], [co, ci, 3, 3], { padding: 1 }), density: 0.05 });
  const kernelsOf = (ci: number, co: number) =>
    (['forward', 'input gradient'] as const).map(pass => planConvolution(gpu, { pass, shape: shape(ci, co) }).tiles[0].kernel);
  expect(kernelsOf(3, 64)).toEqual(['sparse', 'gemm']);
  expect(kernelsOf(16, 16)).toEqual(['gemm', 'gemm']);
  expect(kernelsOf(32, 64)).toEqual(['sparse', 'sparse']);
  const candidates = convCandidates(gpu, { pass: 'input gradient', shape: { ...shape(3, 64), density: 0.1 } });
  expect(candidates.map(t => t.kernel)).not.toContain('sparse');
});

describe.skipIf(!hasLists(device))('on GPUs', () => {
  const shape = (density: number, size = 32, ci = 64) => ({
    ...convShape([128, ci, size, size], [ci, ci, 3, 3], { padding: 1 }),
    density,
  });
  const kernelOf = (...of: Parameters<typeof shape>) =>
    planConvolution(device, { pass: 'forward', shape: shape(...of) }).tiles[0].kernel;

  it('few weights are taken from lists, many are not', () => {
    expect([0.05, 0.2, 0.3, 0.5, 1].map(d => kernelOf(d))).toEqual(['sparse', 'sparse', 'sparse', 'gemm', 'gemm']);
    expect([0.2, 0.3].map(d => kernelOf(d, 8, 256))).toEqual(['sparse', 'gemm']);
  });

  it('densities with one key get one kernel, and the tuner may choose the dense one for sparse weights', () => {
    for (const [a, b] of [
      [0.36, 0.5],
      [0.2, 0.18],
    ])
      expect(densityKey(device, a) === densityKey(device, b) && kernelOf(a)).toBe(kernelOf(b));
    expect(densityKey(device, 0.3)).not.toBe(densityKey(device, 0.4));
    const candidates = convCandidates(device, { pass: 'forward', shape: shape(0.2) });
    expect(candidates.some(t => t.kernel === 'gemm' && t.lists === false)).toBe(true);
    expect(candidates.length).toBeGreaterThan(1);
  });
});
