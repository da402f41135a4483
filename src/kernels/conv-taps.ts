/**
 * Convolution in registers, for adapters that are processors: bindings, variants and grids of conv_taps.wgsl and conv_weight_grad.wgsl. On
 * such adapters a load costs as much as twenty multiplications and workgroup memory is no faster than any other, so an invocation holds a
 * large tile of outputs, and where subgroups exist what is common to a subgroup is loaded once.
 */
import { type Device, type Grid, gridFor, type Storage, uniform } from '../device/index.ts';
import { type ConvPass, type ConvShape, ceil, isPointwise, withListedWeights, withPackedWeights } from './conv-pass.ts';
import { program } from './kernel.ts';
import { inSlices } from './reduce.ts';

/** Register tile of conv_taps: 4·q output channels x r rows x 4·v columns an invocation. */
export interface TapsTile {
  kernel: 'taps';
  q: number;
  v: number;
  r: number;
  /** Invocations of a workgroup that is one subgroup, whose invocations load weights for one another; 0: each loads for itself. */
  lanes: number;
  /** Whether rows of taps whose weights are all 0 are skipped; needs `lanes`, and output channels (4·q) a multiple of them. */
  skip?: boolean;
  /** The same, and only the other rows are read: from lists. Needs rows of three taps besides, and at most 32 output channels. */
  lists?: boolean;
}

/** Register tile of conv_weight_grad: tm output x tc input channels, 4·v columns at a time. */
export interface TapsWeightTile {
  kernel: 'taps';
  tm: number;
  tc: number;
  v: number;
  /** Whether an invocation computes all rows of the kernel, keeping rows of x from one row of g to the next; else one. */
  all: boolean;
  /** As for `TapsTile`. */
  lanes: number;
  /** Invocations wanted; rows are cut into slices until there are as many. */
  parallel: number;
}

/** Workgroup of the kernels without subgroups. */
const WX = 8;
const WY = 4;

/** One pass, with loads of vec4 where rows are aligned. */
export function convTaps(device: Device, x: Storage, w: Storage, y: Storage, s: ConvPass, tile: TapsTile): void {
  const { q, v, r, lanes, skip = false, lists = false } = tile;
  const { rows, cols, stride } = s;
  const channels = channelsAtOnce(s);
  const columns = Array.from({ length: channels * cols.count }, (_, t) => cols.offset + cols.step * (t % cols.count));
  const tilesW = ceil(s.ow, 4 * v);
  const tilesH = ceil(s.oh, r);
  const kept = keptRows(s, tile, tilesW, tilesH);
  const [first, last] = [Math.floor(Math.min(...columns) / 4), Math.floor((stride * (4 * v - 1) + Math.max(...columns)) / 4)];
  // columns of taps of a channel that are in one vec4 of weights: what a subgroup's invocation tests for zeros is then its own
  const per = lanes === 0 || columns.length === 1 ? 1 : columns.length === 2 ? 2 : 4;
  const variant = {
    Q: q,
    V: v,
    R: r,
    S: stride,
    TW: columns.length,
    P: per,
    GROUPS: ceil(columns.length, per),
    ...kept,
    COL: columns,
    CHANNELS: channels,
    OF: columns.map((_, t) => Math.floor(t / cols.count)),
    M0: first,
    M1: last,
    EDGES: edges(s, tile, tilesW, first, last),
    SKIP: skip,
    LISTS: lists,
    VEC: s.w % 4 === 0,
    BLOCK: 16,
    LANES: lanes,
    WX,
    WY,
  };
  const tilesCo = ceil(s.co / s.groups, 4 * q);
  const [gx, gz] = gridFor(tilesW * tilesH * s.n, lanes || WX);
  const grid: Grid = [gx, lanes ? tilesCo * s.groups : ceil(tilesCo * s.groups, WY), gz];
  const params = uniform()
    .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.yh, s.yw, s.ys, s.ya, s.yb)
    .int(rows.offset, rows.step)
    .uint(rows.count, s.groups, tilesW, tilesH, tilesCo);
  const launch = (weights: Storage) => device.dispatch(program('conv_taps', 'rrw', variant), [x, weights, y], params, grid);
  if (lists) withListedWeights(device, w, s, { tile: 4 * q, group: lanes }, launch);
  else withPackedWeights(device, w, s, { tile: 4 * q, per, channels, spare: 4 * lanes }, launch);
}

/**
 * Input channels that an invocation takes at once, as it takes the taps of a row: where a row has one tap, two, so that sums, which live in memory,
 * are met half as often. They are added in the usual order.
 */
const channelsAtOnce = (s: ConvPass): number => (isPointwise(s) && (s.ci / s.groups) % 2 === 0 ? 2 : 1);

/** Vec4s of outputs up to which the code of all rows of taps fits a processor's first cache. */
const WRITTEN_OUT = 8;

/**
 * Which rows of x an invocation holds at once. KEEP: 0 those of one row of taps; else all that its outputs need, because they are neighbours: with 1
 * rows of taps are a loop, from one to the next of which the rows held move up by one, with 2 every row of taps is written out. STEPS: rows of taps
 * written out. IN: of each row held, whether it lies in any image. SHARE: rows above and below a tile's own, which begin with the OWN-th held, come
 * from the neighbours in the subgroup, for it covers whole images.
 */
function keptRows(s: ConvPass, { q, v, r, lanes }: TapsTile, tilesW: number, tilesH: number) {
  const { rows, oh, h } = s;
  const consecutive = s.stride === 1 && (rows.count === 1 || rows.step === 1);
  const [above, below] = [-rows.offset, rows.count - 1 + rows.offset];
  const reached = consecutive && above >= 0 && above <= r && below >= 0 && below <= r && h <= tilesH * r;
  const share = reached && rows.count > 2 && tilesH > 1 && lanes % (tilesW * tilesH) === 0 && lanes > 0;
  const neighbours = consecutive && (r > 1 || share || isPointwise(s));
  const held = neighbours ? r + rows.count - 1 : r;
  const outside = (row: number) => neighbours && r >= oh && (row < 0 || row >= h);
  const keep = !neighbours ? 0 : !isPointwise(s) && (share || q * v * r > WRITTEN_OUT) ? 1 : 2;
  return {
    KEEP: keep,
    ROWS: held,
    STEPS: keep === 2 ? rows.count : 1,
    IN: Array.from({ length: held }, (_, i) => Number(keep < 2 || !outside(i + rows.offset))),
    SHARE: share,
    OWN: share ? above : 0,
    TILES_W: share ? tilesW : 0,
  };
}

/**
 * Where the vec4s of x left and right of a tile's own come from: 0 from memory; 1 there are none, for the tile is a whole row; 2 from
 * the neighbours in the subgroup, for rows do not reach over its ends.
 */
function edges(s: ConvPass, { v, lanes }: TapsTile, tilesW: number, first: number, last: number): 0 | 1 | 2 {
  const own = s.stride * v;
  if (s.w > 4 * own * tilesW) return 0;
  if (tilesW === 1) return 1;
  const reach = (first === -1 || first === 0) && (last === own - 1 || last === own);
  return lanes > 0 && lanes % tilesW === 0 && reach ? 2 : 0;
}

/** gw = the gradient of sum(conv2d(x, w) · g) by w. */
export function convTapsWeightGrad(
  device: Device,
  x: Storage,
  g: Storage,
  gw: Storage,
  s: ConvShape,
  tile: TapsWeightTile,
): void {
  const ci = s.ci / s.groups;
  const co = s.co / s.groups;
  const { tm, tc, v, all, lanes } = tile;
  const tilesCi = ceil(ci, tc * (lanes || 1));
  const tilesCo = ceil(co, tm);
  const kernelRows = all ? s.kh : 1;
  const invocations = tilesCi * (lanes || 1) * tilesCo * (s.kh / kernelRows) * s.groups;
  const strips = ceil(s.ow, 4 * v);
  const allStrips = s.n * strips;
  const slices = Math.max(1, Math.min(allStrips, 64, ceil(tile.parallel, invocations)));
  const sliceStrips = ceil(allStrips, slices);
  const used = ceil(allStrips, sliceStrips);
  const columns = Array.from({ length: s.kw }, (_, t) => t * s.dilation - s.padding);
  const [first, last] = [Math.floor(Math.min(...columns) / 4), Math.floor((s.stride * (4 * v - 1) + Math.max(...columns)) / 4)];
  const whole = strips === 1 && s.w <= 4 * v * s.stride;
  const variant = {
    TM: tm,
    TC: tc,
    V: v,
    S: s.stride,
    TH: kernelRows,
    TW: s.kw,
    COL: columns,
    M0: first,
    M1: last,
    // of the vec4s that a row of taps covers, those that are loaded
    K0: whole ? Math.max(0, -first) : 0,
    K1: whole ? Math.min(last + 1, v * s.stride) - first : last - first + 1,
    HELD: s.dilation === 1 ? Math.max(0, kernelRows - s.stride) : 0,
    VEC: s.w % 4 === 0 && s.ow % 4 === 0,
    LANES: lanes,
    WX,
    WY,
  };
  const tall = (s.kh / kernelRows) * tilesCo * s.groups;
  const grid: Grid = lanes ? [tilesCi * used, tall, 1] : [ceil(tilesCi * used, WX), ceil(tall, WY), 1];
  const size = s.co * ci * s.kh * s.kw;
  inSlices(device, gw, used, size, part =>
    device.dispatch(
      program('conv_weight_grad', 'rrw', variant),
      [x, g, part],
      uniform()
        .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.kh, s.groups)
        .int(s.padding, s.dilation)
        .uint(used, strips, sliceStrips, tilesCi, tilesCo),
      grid,
    ),
  );
}
