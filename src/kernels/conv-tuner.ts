/** Measures which tile a pass of a convolution runs fastest with: the candidates of `conv-tiles.ts` take turns on random numbers. */
import type { Capture, Device, Storage } from '../device/index.ts';
import type { Variant } from './choices.ts';
import { convForward, convInputGrad, convWeightGrad } from './conv.ts';
import { type ConvWork, chosenForDense, convCandidates, convKey } from './conv-choices.ts';
import type { PassTile, WeightTile } from './conv-tiles.ts';
import { randomFill } from './random.ts';
import { type Contest, choose } from './tuner.ts';

/**
 * Launches of a sample's unit: weights are packed once for all of them, as an attack of several iterations packs them once for all of its
 * passes.
 */
const CALLS = 4;

/** Multiply-adds of a pass; the three of a shape have the same. */
export function convMacs({ shape: s }: ConvWork): number {
  return s.n * s.oh * s.ow * s.co * (s.ci / s.groups) * s.kh * s.kw;
}

/** Weights of which about a share is not 0, without a pattern. */
function scattered(size: number, density: number): Float32Array<ArrayBuffer> {
  const weights = new Float32Array(size);
  let state = 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (state < density * 2 ** 32) weights[i] = 1;
  }
  return weights;
}

/** Storages of an image batch, weights and an output, of a pass's sizes. */
export type Operands = readonly [x: Storage, w: Storage, y: Storage];

/**
 * Captures launches of a pass, as many as a sample's unit has: with a candidate, or (null) with what it runs with where none was chosen for its
 * key. For a density class that is what was measured for dense weights; so those have to be measured first.
 */
export function recordPass(
  device: Device,
  work: ConvWork,
  [x, w, y]: Operands,
  candidate: PassTile | WeightTile | null,
): Capture {
  const { pass, shape: s } = work;
  const launch = () => {
    if (pass === 'weight gradient') return convWeightGrad(device, x, y, w, s, candidate as WeightTile | null);
    const tile = candidate ?? (s.density === undefined ? null : chosenForDense(device, pass, s));
    if (pass === 'forward') convForward(device, x, w, y, s, tile as PassTile | null);
    else convInputGrad(device, y, w, x, s, tile as PassTile | null);
  };
  const launches = () => {
    for (let i = 0; i < CALLS; i++) launch();
  };
  return device.capture(launches, () => []).capture;
}

/** Measures one pass of one shape; the device uses the result from now on. `best` and `default` are milliseconds of one launch. */
export async function tuneConvolution(device: Device, work: ConvWork): Promise<Contest> {
  const { shape: s } = work;
  const sizes = [s.n * s.ci * s.h * s.w, s.co * (s.ci / s.groups) * s.kh * s.kw, s.n * s.co * s.oh * s.ow];
  device.openScope();
  try {
    const [x, w, y] = sizes.map((size, i) => {
      const storage = device.allocate(size * 4);
      randomFill(device, 'uniform', storage, size, { k0: i, k1: 0, c1: 0, c2: 0, c3: 0 }, -1, 1);
      return storage;
    });
    if (s.density !== undefined) device.write(w, scattered(sizes[1], s.density));
    const record = (variant: Variant | null) =>
      recordPass(device, work, [x, w, y], variant as unknown as PassTile | WeightTile | null);
    return await choose(device, convKey(work), convCandidates(device, work) as unknown as Variant[], record, CALLS);
  } finally {
    device.closeScope();
  }
}
