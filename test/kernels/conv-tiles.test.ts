/** Every tile of the convolution kernels gives the same result: a tuner may choose any. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ConvShape, convForward, convInputGrad, convWeightGrad } from '../../src/kernels/conv.ts';
import { convCandidates } from '../../src/kernels/conv-choices.ts';
import { type GemmTile, gemmMemory } from '../../src/kernels/conv-gemm.ts';
import type { MatrixTile, MatrixWeightTile } from '../../src/kernels/conv-matrix.ts';
import type { SparseTile } from '../../src/kernels/conv-sparse.ts';
import type { TapsTile, TapsWeightTile } from '../../src/kernels/conv-taps.ts';
import {
  gemmTiles,
  matrixTiles,
  matrixWeightTiles,
  type PassTile,
  tallSizes,
  tapsSizes,
  tapsWeightSizes,
  type WeightTile,
  winogradTiles,
} from '../../src/kernels/conv-tiles.ts';
import { winogradMatrices } from '../../src/kernels/conv-winograd.ts';
import { convShape } from '../../src/tensor/conv.ts';
import { mul } from '../../src/tensor/elementwise.ts';
import { copyInto } from '../../src/tensor/shape.ts';
import { capture, empty, type Shape, type Tensor } from '../../src/tensor/tensor.ts';
import {
  asGpu,
  between,
  checkForward,
  checkGradient,
  forAll,
  fromRef,
  random,
  run,
  seeds,
  testDevice,
  toRef,
} from '../engine.ts';
import type { Ref } from '../reference/array.ts';
import { type ConvOptions, conv2d as reference } from '../reference/conv.ts';

const device = await testDevice();

const product = <T extends Record<string, readonly number[]>>(lists: T): { [K in keyof T]: number }[] =>
  Object.entries(lists).reduce<Record<string, number>[]>(
    (rows, [name, values]) => rows.flatMap(row => values.map(v => ({ ...row, [name]: v }))),
    [{}],
  ) as { [K in keyof T]: number }[];

// odd sizes on purpose: tiles hang over in every direction; with and without the vec4 path, with groups and with stride. The kernels
// are small because every tile of every case is compiled.
const cases = [
  { name: 'W % 4 = 0', x: [2, 3, 5, 12], w: [7, 3, 2, 2], options: { stride: 1, padding: 1, groups: 1 } },
  { name: 'W % 4 != 0, groups', x: [2, 6, 7, 9], w: [10, 3, 2, 2], options: { stride: 1, padding: 0, groups: 2 } },
  { name: 'many channels', x: [2, 16, 6, 4], w: [20, 16, 3, 3], options: { stride: 1, padding: 1, groups: 1 } },
  { name: 'stride 2', x: [1, 4, 9, 11], w: [9, 4, 2, 2], options: { stride: 2, padding: 0, groups: 1 } },
].map(c => {
  const { stride, padding, groups } = c.options;
  const pairs: ConvOptions = { stride: [stride, stride], padding: [padding, padding], dilation: [1, 1], groups };
  const [x, w] = [random(c.x, 1), random(c.w, 2)];
  const y = reference.forward(x, w, pairs);
  const gy = random(y.shape, 3);
  const [gx, gw] = reference.backward(x, w, pairs, gy);
  return { ...c, pairs, shape: convShape(c.x, c.w, c.options), x, w, y, gy, gx, gw };
});

// the sizes of defaults, all that the tuner may choose, and an odd one; without subgroups those of defaults only
const lanes = device.adapter.processor ? device.adapter.subgroupSize : 0;
const withLanes = <T extends object>(sizes: readonly T[], usual: readonly T[]): (T & { lanes: number })[] => {
  const distinct = [...new Map([...usual, ...sizes].map(size => [Object.values(size).join(), size])).values()];
  return [...(lanes ? distinct.map(size => ({ ...size, lanes })) : []), ...usual.map(size => ({ ...size, lanes: 0 }))];
};
const tapsTiles = withLanes(
  [...tapsSizes, ...(device.adapter.kind === 'lavapipe' ? tallSizes : []), { q: 2, v: 3, r: 1 }],
  product({ q: [1, 2, 4], v: [1, 2], r: [1, 2] }).filter(({ v, r }) => v * r <= 2),
).map((t): TapsTile => ({ kernel: 'taps', ...t }));
const tapsWeightTiles = withLanes(
  [...tapsWeightSizes, { tm: 4, tc: 3, v: 1, all: false }, { tm: 4, tc: 3, v: 2, all: true }],
  product({ tm: [4, 8, 16], tc: [1, 2], v: [1] }).map(t => ({ ...t, all: t.tc === 1 })),
).map((t): TapsWeightTile => ({ kernel: 'taps', ...t, parallel: 2048 }));
// lavapipe compiles the large ones for half a minute each: there, of those only what it uses by default
const cheap = device.adapter.kind !== 'lavapipe';
const otherGemmTiles = [
  { wx: 8, wy: 4, tm: 4, tn: 2, depth: 8 },
  { wx: 16, wy: 16, tm: 4, tn: 4, depth: 16 },
  { wx: 128, wy: 1, tm: 4, tn: 1, depth: 16 },
  { wx: 16, wy: 16, tm: 8, tn: 8, depth: 8 },
  { wx: 16, wy: 16, tm: 8, tn: 8, depth: 16 },
].map((t): GemmTile => ({ kernel: 'gemm', ...t }));
// on a GPU all that the tuner may choose; software adapters, whose tuner chooses none of them, would compile them for minutes
const forcedGemmTiles = [...(device.adapter.processor ? [] : gemmTiles), ...otherGemmTiles].filter(
  t => (cheap || t.wx === 8) && gemmMemory(t) <= device.limits.maxComputeWorkgroupStorageSize,
);
const passTiles: PassTile[] = [...tapsTiles, ...forcedGemmTiles];
const weightTiles: WeightTile[] = [
  ...tapsWeightTiles,
  ...forcedGemmTiles.filter(t => t.wy > 1).map(t => ({ ...t, parallel: 3 })),
];
const name = <T extends object>(tile: T) => ({ tile, name: Object.values(tile).join(' ') });

type Pass = (s: ConvShape, a: Tensor, b: Tensor, out: Tensor) => void;
const result = (a: Tensor, b: Tensor, shape: Shape, s: ConvShape, pass: Pass): Tensor => {
  const out = empty(a.device, shape);
  pass(s, a, b, out);
  return out;
};

describe.each(cases)('$name', ({ shape, x, w, y, gy, gx, gw }) => {
  // the input gradient is the same kernel with other taps: at stride 2 it writes every second element
  it.each(passTiles.map(name))('pass: $name', async ({ tile }) => {
    if (shape.stride === 1) {
      const [forward] = await run(device, [x, w], (tx, tw) =>
        result(tx, tw, y.shape, shape, (s, a, b, out) => convForward(device, a.storage, b.storage, out.storage, s, tile)),
      );
      checkForward('conv2d', forward, y);
    } else {
      const [inputGrad] = await run(device, [gy, w], (tg, tw) =>
        result(tg, tw, x.shape, shape, (s, a, b, out) => convInputGrad(device, a.storage, b.storage, out.storage, s, tile)),
      );
      checkGradient('conv2d', inputGrad, gx);
    }
  });

  it.each(weightTiles.map(name))('weight gradient: $name', async ({ tile }) => {
    const [weightGrad] = await run(device, [x, gy], (tx, tg) =>
      result(tx, tg, w.shape, shape, (s, a, b, out) => convWeightGrad(device, a.storage, b.storage, out.storage, s, tile)),
    );
    checkGradient('conv2d', weightGrad, gw);
  });
});

describe.skipIf(!device.adapter.matrixUnits)('matrix units', () => {
  const sixteenths = (r: Ref): Ref => ({ shape: r.shape, data: r.data.map(v => Math.round(16 * v) / 16) });
  const tiles: MatrixTile[] = [{ kernel: 'matrix', wm: 1, wn: 1, fm: 1, fn: 2, depth: 16 }, ...matrixTiles];
  // what f16 holds exactly: products are exact, and sums are f32's
  const options = { stride: 1, padding: 1, groups: 2 };
  const pairs: ConvOptions = { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 2 };
  const [x, w] = [sixteenths(random([3, 64, 8, 6], 1)), sixteenths(random([160, 32, 3, 3], 2))];
  const y = reference.forward(x, w, pairs);
  const narrow = sixteenths(random([64, 32, 3, 3], 4));
  const gy = sixteenths(random([3, 64, 8, 6], 3));

  it.each(tiles.map(name))('forward: $name', async ({ tile }) => {
    const shape = convShape(x.shape, w.shape, options);
    const [forward] = await run(device, [x, w], (tx, tw) =>
      result(tx, tw, y.shape, shape, (s, a, b, out) => convForward(device, a.storage, b.storage, out.storage, s, tile)),
    );
    checkForward('conv2d, matrix units', forward, y);
  });

  it.each(tiles.map(name))('input gradient: $name', async ({ tile }) => {
    const shape = convShape(x.shape, narrow.shape, options);
    const [wanted] = reference.backward(x, narrow, pairs, gy);
    const [inputGrad] = await run(device, [gy, narrow], (tg, tw) =>
      result(tg, tw, x.shape, shape, (s, a, b, out) => convInputGrad(device, a.storage, b.storage, out.storage, s, tile)),
    );
    checkGradient('conv2d, matrix units', inputGrad, wanted);
  });

  it('an input gradient of stride 2, with channels and positions that fill no tile', async () => {
    const strided: ConvOptions = { stride: [2, 2], padding: [1, 1], dilation: [1, 1], groups: 1 };
    const [kernel, odd] = [sixteenths(random([64, 20, 3, 3], 7)), sixteenths(random([3, 20, 9, 7], 8))];
    const g = sixteenths(random(reference.forward(odd, kernel, strided).shape, 9));
    const [wanted] = reference.backward(odd, kernel, strided, g);
    const shape = convShape(odd.shape, kernel.shape, { stride: 2, padding: 1 });
    const [inputGrad] = await run(device, [g, kernel], (tg, tw) =>
      result(tg, tw, odd.shape, shape, (s, a, b, out) => convInputGrad(device, a.storage, b.storage, out.storage, s, tiles[1])),
    );
    checkGradient('conv2d, matrix units', inputGrad, wanted);
  });

  const weights = matrixWeightTiles.flatMap(t => [1, 5].map((parallel): MatrixWeightTile => ({ ...t, parallel })));
  it.each(weights.map(name))('weight gradient, the last number of workgroups: $name', async ({ tile }) => {
    const [tall, gt] = [sixteenths(random([3, 64, 6, 8], 11)), sixteenths(random([3, 160, 6, 8], 12))];
    const [, wanted] = reference.backward(tall, w, pairs, gt);
    const [weightGrad] = await run(device, [tall, gt], (tx, tg) =>
      result(tx, tg, w.shape, convShape(tall.shape, w.shape, options), (s, a, b, out) =>
        convWeightGrad(device, a.storage, b.storage, out.storage, s, tile),
      ),
    );
    checkGradient('conv2d, matrix units', weightGrad, wanted);
  });

  it('rounds to f16 what it does not hold', async () => {
    const [rx, rw] = [random(x.shape, 5), random(w.shape, 6)];
    const wanted = reference.forward(rx, rw, pairs);
    const shape = convShape(x.shape, w.shape, options);
    const [forward] = await run(device, [rx, rw], (tx, tw) =>
      result(tx, tw, y.shape, shape, (s, a, b, out) => convForward(device, a.storage, b.storage, out.storage, s, tiles[1])),
    );
    const norm = (data: readonly number[] | Float64Array) => Math.hypot(...data);
    const error = norm(forward.data.map((v, i) => v - wanted.data[i])) / norm(wanted.data);
    expect(error).toBeGreaterThan(1e-5);
    expect(error).toBeLessThan(6e-4); // two roundings of 2^-11 at most, less their averaging
  });
});

const numbers = (length: number) =>
  fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: length, maxLength: length });

// its 1x1 convolution of many groups runs on GPUs by conv_gemm, which is their default; lavapipe would compile that for half a minute
const multiplying = [{ of: 'this adapter', on: device }];
if (device.adapter.kind === 'swiftshader') multiplying.push({ of: 'GPUs', on: asGpu(device) });

describe.each(winogradTiles)('Winograd, tiles of $m', ({ m, kernel }) => {
  const tile = { kernel, m };
  const { b, g, a } = winogradMatrices[m];
  const times = (matrix: readonly (readonly number[])[], vector: readonly number[]) =>
    matrix.map(row => row.reduce((sum, value, i) => sum + value * vector[i], 0));

  it('computes m outputs of three taps from m + 2 products', () => {
    fc.assert(
      fc.property(numbers(3), numbers(m + 2), (taps, pixels) => {
        const [u, v] = [times(g, taps), times(b, pixels)];
        const outputs = times(
          a,
          u.map((value, i) => value * v[i]),
        );
        for (let i = 0; i < m; i++) {
          const wanted = taps.reduce((sum, tap, k) => sum + tap * pixels[i + k], 0);
          expect(outputs[i]).toBeCloseTo(wanted, 10);
        }
      }),
    );
  });

  const sizes = fc.record({
    n: between(1, 3),
    ci: between(1, 9),
    co: between(1, 9),
    h: between(3, 11),
    w: between(3, 11),
    padding: between(0, 2),
    seed: seeds,
  });
  it.each(multiplying)('gives forward passes and input gradients of any size, multiplied by the kernels of $of', ({ on }) =>
    forAll(
      sizes,
      async ({ n, ci, co, h, w, padding, seed }) => {
        const pairs: ConvOptions = { stride: [1, 1], padding: [padding, padding], dilation: [1, 1], groups: 1 };
        const [x, weights] = [random([n, ci, h, w], seed), random([co, ci, 3, 3], seed + 1)];
        const y = reference.forward(x, weights, pairs);
        const gy = random(y.shape, seed + 2);
        const [gx] = reference.backward(x, weights, pairs, gy);
        const shape = convShape(x.shape, weights.shape, { padding });
        const [forward, inputGrad] = await run(on, [x, weights, gy], (tx, tw, tg) => [
          result(tx, tw, y.shape, shape, (s, p, q, out) => convForward(on, p.storage, q.storage, out.storage, s, tile)),
          result(tg, tw, x.shape, shape, (s, p, q, out) => convInputGrad(on, p.storage, q.storage, out.storage, s, tile)),
        ]);
        checkForward(`conv2d, Winograd F(${m}x${m})`, forward, y);
        checkGradient(`conv2d, Winograd F(${m}x${m})`, inputGrad, gx);
      },
      on === device ? 12 : 6,
    ),
  );

  // the bounds that conv-winograd.ts states
  it.each(multiplying)('rounds no more than it says, multiplied by the kernels of $of', async ({ on }) => {
    const pairs: ConvOptions = { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
    const [x, weights] = [random([2, 128, 12, 12], 1), random([16, 128, 3, 3], 2)];
    const wanted = reference.forward(x, weights, pairs);
    const shape = convShape(x.shape, weights.shape, { padding: 1 });
    const [forward] = await run(on, [x, weights], (tx, tw) =>
      result(tx, tw, wanted.shape, shape, (s, p, q, out) => convForward(on, p.storage, q.storage, out.storage, s, tile)),
    );
    checkForward(`conv2d, Winograd F(${m}x${m})`, forward, wanted, m === 2 ? 5e-7 : 2e-6);
  });

  it('in a captured step, transforms weights once until they change', async () => {
    const shape = convShape([1, 4, 6, 6], [4, 4, 3, 3], { padding: 1 });
    const [x, w] = [fromRef(device, random([1, 4, 6, 6], 1)), fromRef(device, random([4, 4, 3, 3], 2))];
    const before = device.stats.live;
    const step = capture(device, () => {
      const pass = () =>
        result(x, w, x.shape, shape, (s, p, q, out) => convForward(device, p.storage, q.storage, out.storage, s, tile));
      const outputs = [pass(), pass()];
      copyInto(mul(w, 2), w);
      return [...outputs, pass()];
    });
    const labels = step.capture.programs().map(p => p.label);
    expect(labels[0]).toBe(`winograd_input.main<M=${m}>`);
    for (const [label, times] of [
      ['winograd_weights', 2],
      ['winograd_input', 3],
    ] as const)
      expect(labels.filter(l => l.startsWith(label))).toHaveLength(times);
    const outputs: Float32Array[] = [];
    for (const t of step.run()) outputs.push(Float32Array.from(await t.floats()));
    expect(outputs[1]).toEqual(outputs[0]);
    expect(outputs[2]).toEqual(outputs[0].map(value => 2 * value));
    step.dispose();
    expect(device.stats.live).toBe(before);
    for (const t of [x, w]) t.dispose();
  });

  it('is a choice for GPUs in f32, of 3x3 taps of stride 1', () => {
    const gpu = asGpu(device);
    const offered = (x: number[], w: number[], options: object) =>
      (['forward', 'input gradient'] as const).map(pass =>
        convCandidates(gpu, { pass, shape: convShape(x, w, options) }).some(t => t.kernel === 'winograd' && t.m === m),
      );
    expect(offered([8, 16, 8, 8], [16, 16, 3, 3], { padding: 1 })).toEqual([true, true]);
    expect(offered([8, 16, 8, 8], [16, 16, 3, 3], { padding: 1, stride: 2 })).toEqual([false, false]);
    expect(offered([8, 16, 8, 8], [16, 16, 3, 3], { padding: 2, dilation: 2 })).toEqual([false, false]);
    expect(offered([8, 16, 8, 8], [16, 8, 3, 3], { padding: 1, groups: 2 })).toEqual([false, false]);
    expect(offered([8, 16, 8, 8], [16, 16, 1, 1], {})).toEqual([false, false]);
  });
});

// one tap: two input channels are taken at once where their number is even, and the pixels that a stride reaches are gathered
describe.skipIf(!device.adapter.processor)('1x1 in registers', () => {
  const sizes = [
    { x: [2, 6, 5, 12], w: [10, 6, 1, 1], options: {} },
    { x: [3, 7, 5, 6], w: [9, 7, 1, 1], options: {} },
    { x: [2, 12, 3, 4], w: [8, 3, 1, 1], options: { groups: 4 } },
    { x: [2, 8, 4, 8], w: [40, 4, 1, 1], options: { groups: 2 } },
    { x: [2, 6, 7, 16], w: [6, 6, 1, 1], options: { stride: 2 } },
    { x: [2, 6, 9, 7], w: [6, 6, 1, 1], options: { stride: 3 } },
    { x: [2, 6, 5, 5], w: [6, 6, 1, 1], options: { stride: 2, padding: 1 } },
  ];
  const tiles = [0, lanes].flatMap((l): TapsTile[] => [
    { kernel: 'taps', q: 4, v: 2, r: 1, lanes: l },
    { kernel: 'taps', q: 2, v: 1, r: 2, lanes: l },
  ]);
  it.each(sizes)('[$x] * [$w]', async ({ x, w, options }) => {
    const { stride = 1, padding = 0, groups = 1 } = options as { stride?: number; padding?: number; groups?: number };
    const pairs: ConvOptions = { stride: [stride, stride], padding: [padding, padding], dilation: [1, 1], groups };
    const [image, weights] = [random(x, 1), random(w, 2)];
    const y = reference.forward(image, weights, pairs);
    const gy = random(y.shape, 3);
    const [gx] = reference.backward(image, weights, pairs, gy);
    const shape = convShape(x, w, options);
    for (const tile of [null, ...tiles]) {
      const [forward, inputGrad] = await run(device, [image, weights, gy], (tx, tw, tg) => [
        result(tx, tw, y.shape, shape, (s, p, q, out) => convForward(device, p.storage, q.storage, out.storage, s, tile)),
        result(tg, tw, x, shape, (s, p, q, out) => convInputGrad(device, p.storage, q.storage, out.storage, s, tile)),
      ]);
      checkForward('conv2d', forward, y);
      checkGradient('conv2d', inputGrad, gx);
    }
  });
});

// a view shares its storage, which is what weights in a kernel's order are kept by
const sparseTile: SparseTile = { kernel: 'sparse', tc: 4, tr: 2, ng: 1, nv: 1, g: 4, wy: 1, depth: 4, u: 4, slices: 1 };
const gemmTile: GemmTile = { kernel: 'gemm', wx: 8, wy: 4, tm: 4, tn: 2, depth: 8 };
const tapsTile: TapsTile = { kernel: 'taps', q: 2, v: 1, r: 1, lanes: 0 };
it.each([tapsTile, gemmTile, sparseTile, ...winogradTiles].map(name))(
  'in a captured step, one storage as weights of other sizes: $name',
  async ({ tile }) => {
    const sizes = [
      [16, 8, 3, 3],
      [8, 16, 3, 3],
    ];
    const w = fromRef(device, random(sizes[0], 1));
    const inputs = sizes.map(([co, ci], i) => [ci, co].map(c => fromRef(device, random([1, c, 5, 5], 2 + i))));
    const passes = () =>
      inputs.flatMap(([x, g], i) => {
        const weights = w.reshape(sizes[i]);
        const shape = convShape(x.shape, sizes[i], { padding: 1 });
        return [
          result(x, weights, g.shape, shape, (s, p, q, out) => convForward(device, p.storage, q.storage, out.storage, s, tile)),
          result(g, weights, x.shape, shape, (s, p, q, out) => convInputGrad(device, p.storage, q.storage, out.storage, s, tile)),
        ];
      });
    const eager = await run(device, [], passes);
    const step = capture(device, passes);
    for (const [i, y] of step.run().entries()) expect((await toRef(y)).data).toEqual(eager[i].data);
    step.dispose();
    for (const t of [w, ...inputs.flat()]) t.dispose();
  },
);

describe('slices and masks', () => {
  const { shape, x, w, y, gy, gw, pairs } = cases[1];
  it.each([1, 13, 100, 1e6])('rows in slices for %i invocations', async parallel => {
    const [weightGrad] = await run(device, [x, gy], (tx, tg) =>
      result(tx, tg, w.shape, shape, (s, a, b, out) =>
        convWeightGrad(device, a.storage, b.storage, out.storage, s, {
          kernel: 'taps',
          tm: 4,
          tc: 2,
          v: 1,
          all: true,
          lanes: 0,
          parallel,
        }),
      ),
    );
    checkGradient('conv2d', weightGrad, gw);
  });

  // so a run whose layers pass the density from which on zeros are skipped goes on the same after a resume
  it.skipIf(device.adapter.kind !== 'lavapipe').each([
    { of: 'whole rows', size: [3, 20, 8, 8], stride: 1 },
    { of: 'four tiles a row, the neighbours in the subgroup', size: [3, 20, 6, 32], stride: 1 },
    { of: 'three tiles a row, from memory', size: [2, 20, 6, 24], stride: 1 },
    { of: 'rows of an odd size', size: [2, 20, 5, 13], stride: 1 },
    { of: 'stride 2', size: [2, 20, 6, 16], stride: 2 },
    { of: 'whole images', size: [9, 20, 4, 4], stride: 1 },
    { of: 'rows that fill no tile', size: [3, 20, 7, 3], stride: 1 },
    { of: 'five taps a row', size: [3, 20, 5, 8], stride: 1, taps: 5 },
    { of: 'two taps a row', size: [3, 20, 7, 7], stride: 1, taps: 2 },
    { of: 'one tap', size: [3, 20, 8, 8], stride: 1, taps: 1 },
  ])(
    'tiles of as many columns give the same bits, whether they skip zeros, read lists or neither: $of',
    async ({ size, stride, taps = 3 }) => {
      const kernel = random([24, 20, taps, taps], 5);
      const keep = random(kernel.shape, 9, 0, 1).data.map(v => (v < 0.1 ? 1 : 0));
      const sparse = { shape: kernel.shape, data: kernel.data.map((v, i) => v * keep[i]) };
      const padding = taps >> 1;
      const shape = convShape(size, kernel.shape, { stride, padding });
      const y = [shape.n, shape.co, shape.oh, shape.ow];
      const image = random(size, 1);
      const pairs: ConvOptions = { stride: [stride, stride], padding: [padding, padding], dilation: [1, 1], groups: 1 };
      const wanted = reference.forward(image, sparse, pairs);
      const first = new Map<number, Ref>();
      // of those that are not more padding than outputs, as the tuner
      const fitting = ({ q, v, r }: (typeof tapsSizes)[number]) => (4 * q) % 8 === 0 && 4 * v < shape.ow + 4 && r <= shape.oh;
      for (const sizes of [...tapsSizes, ...tallSizes].filter(fitting)) {
        const tile = { kernel: 'taps', lanes: 8, ...sizes } as const;
        const ways = [{ skip: false }, { skip: true }, ...(taps === 3 ? [{ lists: true }] : [])];
        const [dense, ...others] = await run(device, [image, sparse], (tx, tw) =>
          ways.map(way =>
            result(tx, tw, y, shape, (s, a, b, out) =>
              convForward(device, a.storage, b.storage, out.storage, s, { ...tile, ...way }),
            ),
          ),
        );
        if (!first.has(sizes.v)) first.set(sizes.v, dense);
        for (const other of [dense, ...others]) expect(other.data, JSON.stringify(sizes)).toEqual(first.get(sizes.v)!.data);
        checkForward('conv2d', dense, wanted);
      }
    },
  );

  // all of a group's rows, several groups of a list, empty lists, a tile that hangs over, weights of the input gradient, and -0, which is no weight
  it.skipIf(!lanes).each([
    { density: 1, co: 20, groups: 1 },
    { density: 0.4, co: 40, groups: 1 },
    { density: 0.1, co: 44, groups: 2 },
    { density: 0, co: 8, groups: 1 },
  ])('lists of rows of taps: density $density, $co channels', async ({ density, co, groups }) => {
    const sizes = [3, 6, 6, 8];
    const kernel = random([co, 6 / groups, 3, 3], 5);
    const keep = random(kernel.shape, 9, 0, 1).data.map(v => (v < density ? 1 : 0));
    const sparse = { shape: kernel.shape, data: kernel.data.map((v, i) => v * keep[i]) };
    const shape = convShape(sizes, kernel.shape, { padding: 1, groups });
    const [image, gradient] = [random(sizes, 1), random([3, co, 6, 8], 2)];
    const pairs: ConvOptions = { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups };
    for (const q of [2, 4, 8]) {
      const tile = { kernel: 'taps', q, v: 1, r: 1, lanes, lists: true } as const;
      const [forward, inputGradient] = await run(device, [image, sparse, gradient], (tx, tw, tg) => [
        result(tx, tw, gradient.shape, shape, (s, a, b, out) => convForward(device, a.storage, b.storage, out.storage, s, tile)),
        result(tg, tw, sizes, shape, (s, a, b, out) => convInputGrad(device, a.storage, b.storage, out.storage, s, tile)),
      ]);
      checkForward('conv2d', forward, reference.forward(image, sparse, pairs));
      checkGradient('conv2d', inputGradient, reference.backward(image, sparse, pairs, gradient)[0]);
    }
  });

  it('a masked convolution is the dense one with masked weights', async () => {
    const mask = random(w.shape, 9, 0, 1).data.map(v => (v < 0.8 ? 0 : 1));
    const masked = { shape: w.shape, data: w.data.map((v, i) => v * mask[i]) };
    const wanted = reference.forward(x, masked, pairs);
    const [forward] = await run(device, [x, masked], (tx, tw) =>
      result(tx, tw, y.shape, shape, (s, a, b, out) => convForward(device, a.storage, b.storage, out.storage, s)),
    );
    expect(mask.reduce((a, b) => a + b, 0)).toBeGreaterThan(0);
    checkForward('conv2d', forward, wanted);
  });
});
