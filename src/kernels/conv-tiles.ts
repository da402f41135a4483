/** Which kernel and tile a convolution runs with where nothing was measured: defaults by class of adapter. */
import type { Device } from '../device/index.ts';
import { type GemmTile, type GemmWeightTile, gemmMemory } from './conv-gemm.ts';
import { type MatrixTile, type MatrixWeightTile, matrixFits, matrixFitsWeights, matrixMemory } from './conv-matrix.ts';
import { type ConvPass, type ConvShape, ceil } from './conv-pass.ts';
import type { TapsTile, TapsWeightTile } from './conv-taps.ts';

export type PassTile = TapsTile | GemmTile | MatrixTile;
export type WeightTile = TapsWeightTile | GemmWeightTile | MatrixWeightTile;

/** Workgroups below which a GPU runs empty: a smaller tile is then the faster one. */
const BUSY = 96;
/** Density below which skipping zeros pays on lavapipe. SwiftShader computes both sides of a branch, so there it never does. */
const WORTH_SKIPPING = 0.6;

const matrix = (wm: number, wn: number, fm: number, fn: number, depth: number): MatrixTile => ({
  kernel: 'matrix',
  wm,
  wn,
  fm,
  fn,
  depth,
});
const gemm = (wx: number, wy: number, tm: number, tn: number, depth: number): GemmTile => ({
  kernel: 'gemm',
  wx,
  wy,
  tm,
  tn,
  depth,
});

/** Where the larger ones would leave a GPU empty, and what fits the 16 KiB of workgroup memory that every adapter has. */
const small = gemm(16, 16, 4, 4, 16);
const smallest = gemm(8, 8, 8, 8, 8);

export function defaultPassTile(device: Device, s: ConvPass): PassTile {
  const co = s.co / s.groups;
  if (device.adapter.processor) {
    const lanes = device.adapter.subgroupSize;
    const lavapipe = device.adapter.kind === 'lavapipe';
    const v = s.ow > 8 && lavapipe ? 4 : s.ow > 4 ? 2 : 1;
    // the same tile with and without: then the sums are the same to the bit
    const skip = lavapipe && lanes === 8 && co > 8 && (s.density ?? 1) < WORTH_SKIPPING;
    return { kernel: 'taps', q: co > 8 ? 4 : co > 4 ? 2 : 1, v, r: 1, lanes, skip };
  }
  const positions = s.n * s.oh * s.ow;
  const most = device.limits.maxComputeWorkgroupStorageSize;
  if (device.precision === 'f16') {
    const workgroups = ceil(co, co > 64 ? 128 : 64) * ceil(positions, 128) * s.groups;
    const wide = co > 64 ? (workgroups >= 4 * BUSY ? matrix(2, 4, 4, 2, 16) : matrix(4, 2, 2, 4, 32)) : matrix(1, 8, 4, 2, 16);
    const tile = workgroups >= BUSY ? wide : matrix(2, 4, 2, 2, 32);
    if (co >= 16 && matrixMemory(tile) <= most && matrixFits(s, tile)) return tile;
  }
  const workgroups = (t: GemmTile) => ceil(co, t.wy * t.tm) * ceil(positions, t.wx * t.tn) * s.groups;
  const fits = (t: GemmTile) => gemmMemory(t) <= most && workgroups(t) >= BUSY;
  const narrow = gemm(128, 1, 4, 1, 16); // pixels have three channels
  if (co <= 4 && fits(narrow)) return narrow;
  // the fastest of a scan on an H100, the larger ones first
  const tiles = co > 64 ? [gemm(16, 16, 8, 8, 16), gemm(8, 16, 8, 8, 16), gemm(8, 16, 8, 4, 16)] : [gemm(16, 8, 8, 8, 16)];
  return tiles.find(fits) ?? (gemmMemory(small) <= most ? small : smallest);
}

export function defaultWeightTile(device: Device, s: ConvShape): WeightTile {
  const co = s.co / s.groups;
  const ci = s.ci / s.groups;
  if (device.adapter.processor) {
    const lanes = device.adapter.subgroupSize;
    const tm = co > 8 ? 16 : co > 4 ? 8 : 4;
    return { kernel: 'taps', tm, tc: s.kw > 3 || ci <= lanes ? 1 : 2, v: s.ow <= 4 ? 1 : 2, lanes, parallel: 512 };
  }
  const most = device.limits.maxComputeWorkgroupStorageSize;
  if (device.precision === 'f16') {
    const tile = co > 64 ? matrix(2, 4, 4, 2, 32) : matrix(2, 4, 2, 2, 32);
    if (matrixMemory(tile) <= most && matrixFitsWeights(s)) return { ...tile, parallel: 264 };
  }
  const tile = co > 64 ? gemm(16, 16, 8, 8, 16) : gemm(16, 16, 4, 4, 16);
  const fits = gemmMemory(tile) <= most && ci * s.kh * s.kw > 64;
  if (fits) return { ...tile, parallel: co > 64 ? 528 : 1056 };
  return { ...(gemmMemory(small) <= most ? small : smallest), parallel: 1056 };
}
