/**
 * Convolution on a GPU's matrix units, for `precision: 'f16'`: bindings, variants and grids of conv_matrix.wgsl and
 * conv_matrix_weight_grad.wgsl. Operands are rounded to f16, sums are f32.
 */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { type ConvPass, type ConvShape, ceil, withPackedWeights } from './conv-pass.ts';
import { program } from './kernel.ts';
import { inSlices } from './reduce.ts';

/** A workgroup of wm x wn subgroups, each with fm x fn tiles of 16 output channels x 16 positions, and `depth` terms a step. */
export interface MatrixTile {
  kernel: 'matrix';
  wm: number;
  wn: number;
  fm: number;
  fn: number;
  depth: number;
}

export interface MatrixWeightTile extends MatrixTile {
  /** Workgroups wanted; positions are cut into slices until there are as many. */
  parallel: number;
}

/** What small gradients are multiplied with before they are rounded to f16, whose smallest normal number is 6.1e-5. */
const GRADIENT_SCALE = 1024;

/** Bytes of workgroup memory that a tile takes: two stages of both operands in f16, with their padding, and a tile of results. */
export function matrixMemory({ wm, wn, fm, fn, depth }: MatrixTile): number {
  const sides = 16 * (wm * fm + wn * fn);
  return 4 * Math.max(depth * (sides + 16) + 256 * wm * wn, (depth + 8) * sides);
}

/** Whether conv_matrix can compute a pass: a step's terms belong to one tap. */
export function matrixFits(s: Pick<ConvPass, 'ci' | 'groups'>, { depth }: MatrixTile): boolean {
  return (s.ci / s.groups) % depth === 0;
}

/** One pass for which `matrixFits`. */
export function convMatrix(device: Device, x: Storage, w: Storage, y: Storage, s: ConvPass, tile: MatrixTile): void {
  const { wm, wn, fm, fn, depth } = tile;
  const { rows, cols } = s;
  const bm = 16 * wm * fm;
  const bn = 16 * wn * fn;
  const k = (s.ci / s.groups) * rows.count * cols.count;
  const tiles = ceil(s.co / s.groups, bm);
  const [gx, gz] = gridFor(ceil(s.n * s.oh * s.ow, bn), 1);
  const params = uniform()
    .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.yh, s.yw, s.ys, s.ya, s.yb)
    .int(rows.offset, rows.step, cols.offset, cols.step)
    .uint(s.groups, tiles, s.stride, k)
    .float(s.flip ? GRADIENT_SCALE : 1);
  const whole = (s.co / s.groups) % 16 === 0 && (s.oh * s.ow) % 16 === 0;
  const direct = whole && s.ys === 1 && s.oh === s.yh && s.ow === s.yw;
  const variant = { WM: wm, WN: wn, FM: fm, FN: fn, BK: depth, TW: cols.count, DIRECT: direct };
  withPackedWeights(device, w, s, { tile: bm, outerTaps: true, half: true }, packed => {
    device.dispatch(program('conv_matrix', 'rrw', variant, 'main', { BM: bm, BN: bn }), [x, packed, y], params, [
      gx,
      tiles * s.groups,
      gz,
    ]);
  });
}

/** Whether conv_matrix_weight_grad can compute a gradient: whole tiles of 16, four positions in a row. */
export function matrixFitsWeights(s: ConvShape): boolean {
  return (s.co / s.groups) % 16 === 0 && ((s.ci / s.groups) * s.kh * s.kw) % 16 === 0 && s.ow % 4 === 0;
}

/** gw = the gradient of sum(conv2d(x, w) · g) by w, for a shape for which `matrixFitsWeights`. */
export function convMatrixWeightGrad(
  device: Device,
  x: Storage,
  g: Storage,
  gw: Storage,
  s: ConvShape,
  tile: MatrixWeightTile,
): void {
  const { wm, wn, fm, fn, depth } = tile;
  const bm = 16 * wm * fm;
  const bn = 16 * wn * fn;
  const k = (s.ci / s.groups) * s.kh * s.kw;
  const tilesM = ceil(s.co / s.groups, bm);
  const tilesK = ceil(k, bn);
  const positions = s.n * s.oh * s.ow;
  const slices = ceil(tile.parallel, tilesM * tilesK * s.groups);
  const rows = ceil(ceil(positions, slices), depth) * depth;
  const used = ceil(positions, rows);
  const variant = { WM: wm, WN: wn, FM: fm, FN: fn, BP: depth, KH: s.kh, KW: s.kw };
  const size = s.co * k;
  inSlices(device, gw, used, size, part =>
    device.dispatch(
      program('conv_matrix_weight_grad', 'rrw', variant, 'main', { BM: bm, BN: bn }),
      [x, g, part],
      uniform()
        .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.stride)
        .int(s.padding, s.dilation)
        .uint(s.groups, tilesM, tilesK, rows)
        .float(GRADIENT_SCALE),
      [tilesK * used, tilesM * s.groups, 1],
    ),
  );
}
