/**
 * The three passes of conv2d (forward, input gradient, weight gradient; any stride, padding, dilation and groups) in terms of storages;
 * shapes are checked a room above. Which kernel and tile computes a pass was measured (`conv-choices.ts`), or is
 * the default of `conv-tiles.ts`.
 */
import type { Device, Storage } from '../device/index.ts';
import { type ConvWork, chosenPassTile, chosenWeightTile } from './conv-choices.ts';
import { convGemm, convGemmWeightGrad } from './conv-gemm.ts';
import { convMatrix, convMatrixWeightGrad } from './conv-matrix.ts';
import { type ConvPass, type ConvShape, gathersPixels, launchedForward, launchedInputGrad } from './conv-pass.ts';
import { convSparse } from './conv-sparse.ts';
import { convTaps, convTapsWeightGrad } from './conv-taps.ts';
import { defaultWeightTile, type PassTile, passTile, type WeightTile } from './conv-tiles.ts';
import { convWinograd } from './conv-winograd.ts';
import { fillFloat } from './fill.ts';
import { pick, spread } from './spread.ts';

export type { ConvShape } from './conv-pass.ts';

function run(device: Device, x: Storage, w: Storage, y: Storage, s: ConvPass, chosen: PassTile | null): void {
  const tile = passTile(device, s, chosen);
  if (tile.kernel === 'gemm') convGemm(device, x, w, y, s, tile);
  else if (tile.kernel === 'matrix') convMatrix(device, x, w, y, s, tile);
  else if (tile.kernel === 'sparse') convSparse(device, x, w, y, s, tile);
  else if (tile.kernel === 'winograd')
    convWinograd(device, x, w, y, s, tile, (a, b, c, product) => run(device, a, b, c, product, null));
  else convTaps(device, x, w, y, s, tile);
}

/** y = conv2d(x, w). @param tile by default what was measured, else (null) the default of the adapter's class; so also below */
export function convForward(
  device: Device,
  x: Storage,
  w: Storage,
  y: Storage,
  s: ConvShape,
  tile: PassTile | null = chosenPassTile(device, 'forward', s),
): void {
  const pass = launchedForward(device, s);
  if (!gathersPixels(device, s)) {
    run(device, x, w, y, pass, tile);
    return;
  }
  const pixels = device.allocate(s.n * s.ci * s.oh * s.ow * 4);
  pick(device, x, pixels, { m: s.n * s.ci, rows: s.oh, cols: s.ow, h: s.h, w: s.w, stride: s.stride });
  run(device, pixels, w, y, pass, tile);
  device.discard(pixels);
}

/**
 * gx = the gradient of sum(conv2d(x, w) · g) by x.
 * @param before gives another gradient by x, if there is one. It is called where gx can be added to that while it is written, and then it is: where
 * one phase has taps (1x1 kernels of a stride), whose result is computed without gaps and spread
 */
export function convInputGrad(
  device: Device,
  g: Storage,
  w: Storage,
  gx: Storage,
  s: ConvShape,
  tile: PassTile | null = chosenPassTile(device, 'input gradient', s),
  before: () => Storage | undefined = () => undefined,
): void {
  const { passes, complete, spread: phase } = launchedInputGrad(s);
  if (phase) {
    const [pass] = passes;
    const [rows, cols] = [pass.oh, pass.ow];
    const dense = device.allocate(s.n * s.ci * rows * cols * 4);
    run(device, g, w, dense, pass, tile);
    spread(device, dense, gx, { m: s.n * s.ci, rows, cols, h: s.h, w: s.w, stride: s.stride, ...phase }, before());
    device.discard(dense);
    return;
  }
  if (!complete) fillFloat(device, gx, s.n * s.ci * s.h * s.w, 0);
  for (const pass of passes) run(device, g, w, gx, pass, tile);
}

/** gw = the gradient of sum(conv2d(x, w) · g) by w. */
export function convWeightGrad(
  device: Device,
  x: Storage,
  g: Storage,
  gw: Storage,
  s: ConvShape,
  chosen: WeightTile | null = chosenWeightTile(device, s),
): void {
  const tile = chosen ?? defaultWeightTile(device, s);
  if (tile.kernel === 'gemm') convGemmWeightGrad(device, x, g, gw, s, tile);
  else if (tile.kernel === 'matrix') convMatrixWeightGrad(device, x, g, gw, s, tile);
  else convTapsWeightGrad(device, x, g, gw, s, tile);
}

/** What a pass would be launched with: its tile (of a strided input gradient one for each phase), and whether that was measured. */
export interface ConvPlan {
  readonly measured: boolean;
  readonly tiles: readonly (PassTile | WeightTile)[];
}

/** The kernels that a device has chosen for a pass. */
export function planConvolution(device: Device, { pass, shape }: ConvWork): ConvPlan {
  if (pass === 'weight gradient') {
    const chosen = chosenWeightTile(device, shape);
    return { measured: chosen !== null, tiles: [chosen ?? defaultWeightTile(device, shape)] };
  }
  const chosen = chosenPassTile(device, pass, shape);
  const passes = pass === 'forward' ? [launchedForward(device, shape)] : launchedInputGrad(shape).passes;
  return { measured: chosen !== null, tiles: passes.map(s => passTile(device, s, chosen)) };
}
