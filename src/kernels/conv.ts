/**
 * The three passes of conv2d (forward, input gradient, weight gradient; any stride, padding, dilation and groups) in terms of storages;
 * shapes are checked a room above. Which kernel computes a pass is `conv-tiles.ts`'s choice.
 */
import type { Device, Storage } from '../device/index.ts';
import { convGemm, convGemmWeightGrad } from './conv-gemm.ts';
import { convMatrix, convMatrixWeightGrad } from './conv-matrix.ts';
import { type ConvPass, type ConvShape, ceil, type Taps } from './conv-pass.ts';
import { convTaps, convTapsWeightGrad } from './conv-taps.ts';
import { defaultPassTile, defaultWeightTile, type PassTile, type WeightTile } from './conv-tiles.ts';
import { fillFloat } from './fill.ts';

export type { ConvShape } from './conv-pass.ts';

function run(device: Device, x: Storage, w: Storage, y: Storage, s: ConvPass, tile = defaultPassTile(device, s)): void {
  if (tile.kernel === 'gemm') convGemm(device, x, w, y, s, tile);
  else if (tile.kernel === 'matrix') convMatrix(device, x, w, y, s, tile);
  else convTaps(device, x, w, y, s, tile);
}

/** y = conv2d(x, w). */
export function convForward(device: Device, x: Storage, w: Storage, y: Storage, s: ConvShape, tile?: PassTile): void {
  const taps = (count: number): Taps => ({ count, k0: 0, ks: 1, offset: -s.padding, step: s.dilation });
  const pass = { ...s, yh: s.oh, yw: s.ow, ys: 1, ya: 0, yb: 0, rows: taps(s.kh), cols: taps(s.kw), flip: false };
  run(device, x, w, y, pass, tile);
}

/**
 * The taps that reach input position S·i + a: those k with (a + P - D·k) divisible by S, each reading g at i + (a + P - D·k)/S. They
 * form an arithmetic progression, so an input gradient of stride S is S·S plain convolutions, one for each phase (a, b).
 */
function phaseTaps(s: ConvShape, a: number, size: number): Taps {
  const reach = Array.from({ length: size }, (_, k) => k).filter(k => (a + s.padding - s.dilation * k) % s.stride === 0);
  const read = (k: number) => (a + s.padding - s.dilation * k) / s.stride;
  // in rising order of what they read, so that a 3x3 input gradient of stride 1 is the very program of its forward pass
  const [first, second] = reach.reverse();
  if (first === undefined) return { count: 0, k0: 0, ks: 0, offset: 0, step: 0 };
  const ks = second === undefined ? 0 : second - first;
  return { count: reach.length, k0: first, ks, offset: read(first), step: second === undefined ? 0 : read(second) - read(first) };
}

/** gx = the gradient of sum(conv2d(x, w) · g) by x. */
export function convInputGrad(device: Device, g: Storage, w: Storage, gx: Storage, s: ConvShape, tile?: PassTile): void {
  const phases = [];
  for (let ya = 0; ya < s.stride; ya++) {
    for (let yb = 0; yb < s.stride; yb++) phases.push({ ya, yb, rows: phaseTaps(s, ya, s.kh), cols: phaseTaps(s, yb, s.kw) });
  }
  if (phases.some(f => f.rows.count * f.cols.count === 0)) fillFloat(device, gx, s.n * s.ci * s.h * s.w, 0);
  const { groups, density } = s;
  const grad = { n: s.n, ci: s.co, h: s.oh, w: s.ow, co: s.ci, yh: s.h, yw: s.w, groups, stride: 1, ys: s.stride, density };
  for (const phase of phases) {
    const oh = ceil(s.h - phase.ya, s.stride);
    const ow = ceil(s.w - phase.yb, s.stride);
    if (phase.rows.count * phase.cols.count === 0 || oh <= 0 || ow <= 0) continue;
    run(device, g, w, gx, { ...grad, ...phase, oh, ow, kh: s.kh, kw: s.kw, flip: true }, tile);
  }
}

/** gw = the gradient of sum(conv2d(x, w) · g) by w. */
export function convWeightGrad(
  device: Device,
  x: Storage,
  g: Storage,
  gw: Storage,
  s: ConvShape,
  tile: WeightTile = defaultWeightTile(device, s),
): void {
  if (tile.kernel === 'gemm') convGemmWeightGrad(device, x, g, gw, s, tile);
  else if (tile.kernel === 'matrix') convMatrixWeightGrad(device, x, g, gw, s, tile);
  else convTapsWeightGrad(device, x, g, gw, s, tile);
}
