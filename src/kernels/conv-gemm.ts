/**
 * Convolution as an implicit matrix product, for GPUs: bindings, variants and grids of conv_gemm.wgsl and conv_gemm_weight_grad.wgsl. Both
 * operands of a step are staged in workgroup memory, and an invocation holds a tile of products in registers.
 */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { type ConvPass, type ConvShape, ceil, withPackedWeights } from './conv-pass.ts';
import { program } from './kernel.ts';
import { inSlices } from './reduce.ts';

/**
 * A workgroup of wx x wy invocations, each with tm output channels x tn positions (conv_gemm) or columns (conv_gemm_weight_grad), and
 * `depth` terms a step. wx·wy is a multiple of wx·tn, vec4s of the positions' stage are shared out evenly, and tm is a multiple of 4.
 */
export interface GemmTile {
  kernel: 'gemm';
  wx: number;
  wy: number;
  tm: number;
  tn: number;
  depth: number;
  /** Set where it was measured that lists of weights are slower; else few weights are taken from lists (conv-sparse-tiles.ts). */
  lists?: false;
}

export interface GemmWeightTile extends GemmTile {
  /** Workgroups wanted; positions are cut into slices until there are as many. */
  parallel: number;
}

/** Bytes of workgroup memory that a tile takes (two stages of both operands, with the padding of the weight gradient). */
export function gemmMemory({ wx, wy, tm, tn, depth }: GemmTile): number {
  return 8 * depth * (wy * tm + wx * tn + 4);
}

/** One pass. */
export function convGemm(device: Device, x: Storage, w: Storage, y: Storage, s: ConvPass, tile: GemmTile): void {
  const { wx, wy, tm, tn, depth } = tile;
  const { rows, cols } = s;
  const bm = wy * tm;
  const bn = wx * tn;
  const ci = s.ci / s.groups;
  const k = ci * rows.count * cols.count;
  const outer = ci % depth === 0;
  const variant = {
    WX: wx,
    WY: wy,
    TM: tm,
    TN: tn,
    BK: depth,
    TH: rows.count,
    TW: cols.count,
    OUTER: outer,
    TAIL: k % depth !== 0,
    BLOCKS: s.blocks ?? false,
  };
  const tiles = ceil(s.co / s.groups, bm);
  const [gx, gz] = gridFor(ceil(s.n * s.oh * s.ow, bn), 1);
  const params = uniform()
    .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.yh, s.yw, s.ys, s.ya, s.yb)
    .int(rows.offset, rows.step, cols.offset, cols.step)
    .uint(s.groups, tiles, s.stride, k);
  withPackedWeights(device, w, s, { tile: bm, outerTaps: outer }, packed => {
    device.dispatch(program('conv_gemm', 'rrw', variant, 'main', { BM: bm, BN: bn }), [x, packed, y], params, [
      gx,
      tiles * s.groups,
      gz,
    ]);
  });
}

/** gw = the gradient of sum(conv2d(x, w) · g) by w. */
export function convGemmWeightGrad(
  device: Device,
  x: Storage,
  g: Storage,
  gw: Storage,
  s: ConvShape,
  tile: GemmWeightTile,
): void {
  const { wx, wy, tm, tn, depth } = tile;
  const bm = wy * tm;
  const bn = wx * tn;
  const k = (s.ci / s.groups) * s.kh * s.kw;
  const tilesM = ceil(s.co / s.groups, bm);
  const tilesK = ceil(k, bn);
  const positions = s.n * s.oh * s.ow;
  const slices = ceil(tile.parallel, tilesM * tilesK * s.groups);
  const rows = ceil(ceil(positions, slices), depth) * depth;
  const used = ceil(positions, rows);
  const variant = { WX: wx, WY: wy, TM: tm, TN: tn, BP: depth, KH: s.kh, KW: s.kw, VEC: s.ow % 4 === 0 };
  const size = s.co * k;
  inSlices(device, gw, used, size, part =>
    device.dispatch(
      program('conv_gemm_weight_grad', 'rrw', variant, 'main', { BM: bm, BN: bn }),
      [x, g, part],
      uniform()
        .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.stride)
        .int(s.padding, s.dilation)
        .uint(s.groups, tilesM, tilesK, rows),
      [tilesK * used, tilesM * s.groups, 1],
    ),
  );
}
