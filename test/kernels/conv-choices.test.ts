/** Convolutions run with the tile that was measured for their pass and sizes, and with the default where that is none of the candidates. */
import { afterEach, describe, expect, it } from 'vitest';
import { type Capture, Device } from '../../src/device/index.ts';
import { choicesOf, useChoices, type Variant } from '../../src/kernels/choices.ts';
import { planConvolution } from '../../src/kernels/conv.ts';
import { type ConvWork, convCandidates, convKey, convolutionsIn } from '../../src/kernels/conv-choices.ts';
import { hasLists } from '../../src/kernels/conv-sparse-tiles.ts';
import type { TapsTile } from '../../src/kernels/conv-taps.ts';
import { densityClass } from '../../src/kernels/conv-tiles.ts';
import { recordPass, tuneConvolution } from '../../src/kernels/conv-tuner.ts';
import { conv2d, conv2dInputGrad, conv2dWeightGrad, convShape } from '../../src/tensor/conv.ts';
import { capture, empty, type Tensor } from '../../src/tensor/tensor.ts';
import { asGpu, checkForward, checkGradient, fromRef, random, run, testDevice } from '../engine.ts';
import { type ConvOptions, conv2d as reference } from '../reference/conv.ts';

const device = await testDevice();
const lavapipe = device.adapter.kind === 'lavapipe';
const asksDensity = lavapipe || hasLists(device);
afterEach(() => useChoices(device, new Map()));

// 12 output channels, so that there are several sizes of tiles to choose among
const options = { stride: 2, padding: 1 };
const pairs: ConvOptions = { stride: [2, 2], padding: [1, 1], dilation: [1, 1], groups: 1 };
const [x, w] = [random([2, 10, 11, 13], 1), random([12, 10, 3, 3], 2)];
const y = reference.forward(x, w, pairs);
const g = random(y.shape, 3);
const shape = convShape(x.shape, w.shape, options);
const works: ConvWork[] = (['forward', 'input gradient', 'weight gradient'] as const).map(pass => ({ pass, shape }));
const launches = {
  forward: (tx: Tensor, tw: Tensor) => conv2d(tx, tw, options),
  'input gradient': (_: Tensor, tw: Tensor, tg: Tensor) => conv2dInputGrad(tg, tw, x.shape, options),
  'weight gradient': (tx: Tensor, _: Tensor, tg: Tensor) => conv2dWeightGrad(tx, tg, w.shape, options),
};

const use = (work: ConvWork, variant: Variant | null) =>
  useChoices(device, new Map([[convKey(work), { variant, best: 1, default: 2 }]]));

/** Names of the programs that a pass launches. */
function programsOf({ pass }: ConvWork): string[] {
  const inputs = [x, w, g].map(r => fromRef(device, r));
  const step = capture(device, () => launches[pass](inputs[0], inputs[1], inputs[2]));
  const labels = (step.capture as Capture).programs().map(p => p.label);
  step.dispose();
  for (const t of inputs) t.dispose();
  return labels;
}

describe.each(works)('$pass', work => {
  const [gx, gw] = reference.backward(x, w, pairs, g);

  it('runs with each candidate that was chosen, and gives the same result', async () => {
    const byDefault = programsOf(work);
    const candidates = convCandidates(device, work);
    expect(candidates.length).toBeGreaterThan(2);
    for (const candidate of candidates) {
      use(work, candidate as unknown as Variant);
      if (!('parallel' in candidate)) expect(programsOf(work), Object.values(candidate).join()).not.toEqual(byDefault);
      const [result] = await run(device, [x, w, g], launches[work.pass]);
      if (work.pass === 'forward') checkForward('conv2d', result, y);
      else checkGradient('conv2d', result, work.pass === 'input gradient' ? gx : gw);
    }
    expect(new Set(candidates.map(c => JSON.stringify(c))).size).toBe(candidates.length);
  });

  it('runs with the default where that was the fastest, where other sizes were measured, or no candidate is like what was kept', () => {
    const byDefault = programsOf(work);
    const [candidate] = convCandidates(device, work);
    const others: [ConvWork, Variant | null][] = [
      [work, null],
      [{ ...work, shape: { ...shape, n: 3 } }, candidate as unknown as Variant],
      [work, { ...candidate, kernel: 'magic' } as unknown as Variant],
      [work, { ...candidate, more: 1 } as unknown as Variant],
      [work, {}],
    ];
    for (const [kept, variant] of others) {
      use(kept, variant);
      expect(programsOf(work)).toEqual(byDefault);
    }
    use(work, candidate as unknown as Variant);
    expect(programsOf(work)).not.toEqual(byDefault);
  });
});

describe('weights that are mostly 0', () => {
  const at = (density: number): ConvWork => ({ pass: 'forward', shape: { ...shape, density } });
  const tileOf = (work: ConvWork) => planConvolution(device, work).tiles[0];

  it('count as of the nearest of a few densities on lavapipe and on GPUs, and as dense on SwiftShader', () => {
    const classes = [0.001, 0.06, 0.08, 0.15, 0.2001, 0.4, 0.6, 0.8, 1].map(d => densityClass(device, d));
    const few = [0.05, 0.05, 0.1, 0.2, 0.2, 0.5, 0.5, undefined, undefined];
    expect(classes).toEqual(asksDensity ? few : classes.map(() => undefined));
  });

  it.skipIf(!device.adapter.processor)(
    'are skipped on lavapipe, by the default and by what was measured for dense weights',
    () => {
      const usual = tileOf(at(1));
      expect('skip' in usual).toBe(lavapipe);
      for (const density of [0.5, 0.1]) expect(tileOf(at(density))).toEqual(usual);
      const wide = convCandidates(device, at(1)).find(t => 'q' in t && t.q === 2 && t.v === 2)!;
      use(works[0], wide as unknown as Variant);
      for (const density of [1, 0.1]) expect(tileOf(at(density))).toEqual(wide);
    },
  );

  it.skipIf(!device.adapter.processor)('are skipped where they are few, if a row of taps is short or has little work', () => {
    const tile = (image: number[], kernel: number[], density: number) =>
      tileOf({ pass: 'forward', shape: { ...convShape(image, kernel, { padding: kernel[2] >> 1 }), density } });
    for (const [image, kernel, above, below] of [
      [[8, 16, 8, 9], [16, 16, 1, 2], 0.3, 0.2],
      [[8, 16, 4, 4], [16, 16, 3, 3], 0.2, 0.1],
    ] as const) {
      const usual = tile([...image], [...kernel], 1);
      expect('skip' in usual).toBe(false);
      expect(tile([...image], [...kernel], above)).toEqual(usual);
      expect(tile([...image], [...kernel], below)).toEqual(lavapipe ? { ...usual, r: 4, skip: true } : usual);
    }
    // pointwise only with several rows and many channels to a test
    for (const channels of [16, 64]) {
      const pointwise = (density: number) => tile([8, 16, 8, 8], [channels, 16, 1, 1], density);
      expect(pointwise(0.2)).toEqual(pointwise(1));
      const skipping = lavapipe && channels > 16 ? { ...pointwise(1), r: 2, skip: true } : pointwise(1);
      expect(pointwise(0.1)).toEqual(skipping);
    }
    const many = (density: number) => tile([1, 4, 16, 16], [64, 4, 3, 3], density);
    expect(many(0.3)).toEqual(many(1));
    const { skip, ...alone } = many(1) as TapsTile;
    expect(many(0.2)).toEqual(lavapipe ? { ...alone, q: 8, lists: true } : many(1));
  });

  it.skipIf(!lavapipe)('have choices of their own for a class, with as many columns as dense weights', () => {
    const kept = at(0.1);
    const candidate = convCandidates(device, kept).at(-1) as unknown as Variant;
    use(kept, candidate);
    for (const density of [0.09, 0.11])
      expect(planConvolution(device, at(density))).toEqual({ measured: true, tiles: [candidate] });
    expect(planConvolution(device, at(1)).measured).toBe(false);
    expect(convKey(kept).endsWith(', density 0.1')).toBe(true);
    for (const other of convCandidates(device, kept)) expect(other).toMatchObject({ v: (tileOf(at(1)) as { v: number }).v });
  });

  // 5x5 of stride 2: three columns of taps in the phases of even columns, two in the others
  it.skipIf(!lavapipe)('are read from lists in those phases of an input gradient only that have three taps a row', async () => {
    const sizes = convShape([2, 32, 9, 9], [32, 32, 5, 5], { stride: 2, padding: 2 });
    const work: ConvWork = { pass: 'input gradient', shape: { ...sizes, density: 0.05 } };
    const listed = convCandidates(device, work).find(t => 'lists' in t && t.lists)!;
    use(work, listed as unknown as Variant);
    expect(planConvolution(device, work).tiles.map(t => (t as TapsTile).lists)).toEqual([true, false, true, false]);
  });

  it('are what the tuner measures a class with', async () => {
    const tiny: ConvWork = { pass: 'input gradient', shape: { ...convShape([1, 16, 4, 4], [16, 16, 1, 1]), density: 0.1 } };
    const contest = await tuneConvolution(device, tiny);
    expect(contest.tried).toBe(convCandidates(device, tiny).length);
    expect(choicesOf(device).has(convKey(tiny))).toBe(true);
  });

  it('are measured against what they run with otherwise, which is what was measured for dense weights', () => {
    const gpu = asGpu(device);
    const dense: ConvWork = { pass: 'forward', shape: convShape([2, 8, 6, 6], [8, 8, 3, 3], { padding: 1 }) };
    const few: ConvWork = { ...dense, shape: { ...dense.shape, density: 0.1 } };
    const inputs = [empty(gpu, [2, 8, 6, 6]), empty(gpu, [8, 8, 3, 3]), empty(gpu, [2, 8, 6, 6])];
    const [tx, tw, ty] = inputs.map(t => t.storage);
    const used = () => capture(gpu, () => conv2d(inputs[0], inputs[1], { padding: 1, density: 0.1 })).capture as Capture;
    const names = (step: Capture): Set<string> => {
      const labels = new Set(step.programs().map(p => p.label));
      step.dispose();
      return labels;
    };
    const before = names(used());
    for (const chosen of convCandidates(gpu, dense).slice(0, 2)) {
      const kept = { variant: chosen as unknown as Variant, best: 1, default: 2 };
      useChoices(gpu, new Map([[convKey(dense), kept]]));
      const after = names(used());
      expect(after).not.toEqual(before);
      expect(names(recordPass(gpu, few, [tx, tw, ty], null))).toEqual(after);
      expect(names(recordPass(gpu, dense, [tx, tw, ty], null))).toEqual(before);
    }
    for (const t of inputs) t.dispose();
  });
});

describe.each([
  ['this adapter', device],
  ['lavapipe', new Device(device.gpu, { ...device.adapter, kind: 'lavapipe', processor: true, subgroupSize: 8 })],
  ['a GPU', asGpu(device)],
] as const)('on %s', (_, on) => {
  /** The tile in a program's name, as far as all kernels have it. */
  const sizes: Record<string, readonly string[]> = {
    taps: ['q', 'v', 'r', 'lanes'],
    gemm: ['wx', 'wy', 'tm', 'tn'],
    matrix: ['wm', 'wn'],
  };
  const named = (kernel: string, value: (name: string) => unknown) =>
    `${kernel} ${sizes[kernel].map(name => `${name}=${value(name)}`).join()}`;
  const ofLabel = (label: string) => {
    const [, kernel, list] = /^conv_(taps|gemm|matrix)\.main<(.*)>$/.exec(label)!;
    return named(kernel, name => new RegExp(`\\b${name.toUpperCase()}=(\\d+)`).exec(list)![1]);
  };

  it.each([
    { x: [8, 64, 32, 32], w: [128, 64, 1, 1], options: { stride: 2 } },
    { x: [2, 12, 9, 7], w: [20, 12, 1, 1], options: { stride: 3 } },
    { x: [2, 24, 9, 9], w: [24, 24, 3, 3], options: { stride: 2, dilation: 2 } },
    { x: [2, 24, 9, 9], w: [40, 24, 3, 3], options: { stride: 2, padding: 1 } },
    { x: [2, 24, 8, 8], w: [40, 24, 1, 1], options: {} },
    { x: [2, 24, 8, 8], w: [40, 24, 3, 3], options: { padding: 1 } },
  ])('plans name the tiles that are launched, and candidates are others: [$x] * [$w], $options', ({ x, w, options }) => {
    const shape = convShape(x, w, options);
    for (const pass of ['forward', 'input gradient'] as const) {
      const [tx, tw, ty] = [x, w, [shape.n, shape.co, shape.oh, shape.ow]].map(sizes => empty(on, sizes));
      const step = capture(on, () => (pass === 'forward' ? conv2d(tx, tw, options) : conv2dInputGrad(ty, tw, x, options)));
      const launched = (step.capture as Capture).programs().map(p => p.label);
      const { tiles } = planConvolution(on, { pass, shape });
      const planned = tiles.map(tile => named(tile.kernel, name => tile[name as keyof typeof tile]));
      expect(planned, pass).toEqual(launched.filter(label => /^conv_(?!pack)/.test(label)).map(ofLabel));
      if (tiles.length === 1) expect(convCandidates(on, { pass, shape })).not.toContainEqual(tiles[0]);
      step.dispose();
      for (const t of [tx, tw, ty]) t.dispose();
    }
  });
});

it('keys tell passes and all sizes apart', () => {
  expect(convKey(works[1])).toBe('conv input gradient [2,10,11,13] * [12,10,3,3], stride 2, padding 1');
  const shapes = [
    shape,
    { ...shape, padding: 0 },
    { ...shape, dilation: 2 },
    { ...shape, groups: 2 },
    convShape([2, 10, 11, 13], [12, 10, 3, 3]),
  ];
  const keys = shapes.flatMap(s => works.map(({ pass }) => convKey({ pass, shape: s })));
  expect(new Set(keys).size).toBe(keys.length);
});

it('meets every pass once, and once more with few weights where that may matter', () => {
  const inputs = [x, w, g].map(r => fromRef(device, r));
  const all = () => Object.values(launches).map(launch => launch(inputs[0], inputs[1], inputs[2]));
  const sparse = () => conv2d(inputs[0], inputs[1], { ...options, density: 0.2 });
  const found = convolutionsIn(() => capture(device, () => [...all(), ...all(), sparse()]).dispose());
  const few: ConvWork[] = asksDensity ? [{ pass: 'forward', shape: { ...shape, density: 0.2 } }] : [];
  expect(found).toEqual([...works, ...few]);
  for (const t of inputs) t.dispose();
});

it('measures a pass, and uses what came out', async () => {
  const tiny: ConvWork = { pass: 'forward', shape: convShape([1, 4, 6, 8], [5, 4, 1, 1]) };
  await tuneConvolution(device, { ...tiny, pass: 'input gradient' });
  const before = device.stats.live;
  const contest = await tuneConvolution(device, tiny);
  expect(contest.tried).toBe(convCandidates(device, tiny).length);
  expect(contest.refused).toEqual([]);
  expect(contest.best).toBeGreaterThan(0);
  expect(contest.best).toBeLessThanOrEqual(contest.default);
  expect(choicesOf(device).get(convKey(tiny))?.variant).toEqual(contest.variant);
  expect(device.stats.live).toBe(before);
});
