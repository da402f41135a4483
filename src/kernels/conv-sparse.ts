/**
 * Convolution of sparse weights on GPUs: bindings, variants and grids of conv_sparse.wgsl, which walks lists of the weights that are not 0, and of
 * conv_sparse_pack.wgsl, which makes the lists.
 */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { type ConvPass, ceil } from './conv-pass.ts';
import { program } from './kernel.ts';
import { inSlices } from './reduce.ts';

/**
 * A workgroup of tc x tr positions of `4·nv·ng` images by wy rows of `4·g` output channels; an invocation has one position of `4·nv` images and
 * `4·g` channels.
 */
export interface SparseTile {
  kernel: 'sparse';
  tc: number;
  tr: number;
  ng: number;
  nv: number;
  g: number;
  wy: number;
  /** Input channels staged at once. */
  depth: number;
  /** Entries of a block of a list: 2 or 4. */
  u: number;
  /** Slices of the input channels wanted, which a second kernel adds up; 1 where positions of y lie apart. */
  slices: number;
}

/** Rows and columns of x that a workgroup stages. */
function stageOf({ stride, rows, cols }: ConvPass, { tc, tr }: SparseTile) {
  return {
    rows: stride * (tr - 1) + rows.step * (rows.count - 1) + 1,
    cols: stride * (tc - 1) + cols.step * (cols.count - 1) + 1,
  };
}

/** Bytes of workgroup memory that a tile takes for a pass. */
export function sparseMemory(s: ConvPass, tile: SparseTile): number {
  const { rows, cols } = stageOf(s, tile);
  return 16 * tile.depth * tile.nv * tile.ng * rows * cols;
}

/** Vec4s of the stage that each invocation loads for every chunk of input channels. */
export function sparseLoads(s: ConvPass, tile: SparseTile): number {
  return ceil(sparseMemory(s, tile) / 16, tile.tc * tile.tr * tile.ng * tile.wy);
}

/** Slices that the input channels are cut into, of as many chunks each; the last may have fewer. */
function slicesOf(s: ConvPass, tile: SparseTile): { slices: number; chunksEach: number } {
  const chunks = ceil(s.ci / s.groups, tile.depth);
  const chunksEach = ceil(chunks, s.ys === 1 ? tile.slices : 1);
  return { slices: ceil(chunks, chunksEach), chunksEach };
}

/** Workgroups that a pass is cut into. */
export function sparseWorkgroups(s: ConvPass, tile: SparseTile): number {
  const { tc, tr, ng, nv, g, wy } = tile;
  const { slices } = slicesOf(s, tile);
  return ceil(s.n, 4 * nv * ng) * ceil(s.oh, tr) * ceil(s.ow, tc) * ceil(s.co / s.groups, 4 * g * wy) * s.groups * slices;
}

/** Bytes of y in every slice: of the largest buffer that a pass needs beside its operands. */
export function sparseSums(s: ConvPass, tile: SparseTile): number {
  return 4 * slicesOf(s, tile).slices * s.n * s.co * s.yh * s.yw;
}

/** Lists of a pass, one for four output and `depth` input channels: tiles of output channels, chunks of input channels, vec4s of all of them. */
function listsOf(s: ConvPass, { g, depth, u }: SparseTile) {
  const tiles = ceil(s.co / s.groups, 4 * g) * g;
  const chunks = ceil(s.ci / s.groups, depth);
  const lists = tiles * s.groups * chunks;
  return { tiles, chunks, lists, vectors: lists * ceil(depth * s.rows.count * s.cols.count, u) * (u + 1) };
}

/** One pass. */
export function convSparse(device: Device, x: Storage, w: Storage, y: Storage, s: ConvPass, tile: SparseTile): void {
  const { tc, tr, ng, nv, g, wy, depth, u } = tile;
  const { rows, cols } = stageOf(s, tile);
  const { tiles, chunks, vectors } = listsOf(s, tile);
  const [down, across] = [ceil(s.oh, tr), ceil(s.ow, tc)];
  const taps = s.rows.count * s.cols.count;
  const variant = {
    TC: tc,
    TR: tr,
    NG: ng,
    NV: nv,
    G: g,
    WY: wy,
    CK: depth,
    U: u,
    S: s.stride,
    ROWS: rows,
    COLS: cols,
    TAPS: taps,
  };
  const { slices, chunksEach } = slicesOf(s, tile);
  const size = s.n * s.co * s.yh * s.yw;
  withLists(device, w, s, tile, lists =>
    inSlices(device, y, slices, size, part =>
      device.dispatch(
        program('conv_sparse', 'rrw', variant, 'main', { LOADS: sparseLoads(s, tile) }),
        [x, lists, part],
        uniform()
          .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.yh, s.yw, s.ys, s.ya, s.yb)
          .int(s.rows.offset, s.cols.offset)
          .uint(s.groups, tiles, across, down, chunks, chunksEach, size, vectors),
        [ceil(s.n, 4 * nv * ng) * across * down, ceil(tiles, g * wy) * s.groups, slices],
      ),
    ),
  );
}

/** Hands `use` the weights of a pass as lists. */
function withLists(device: Device, w: Storage, s: ConvPass, tile: SparseTile, use: (lists: Storage) => void): void {
  const { depth, u, nv, ng } = tile;
  const { rows, cols } = stageOf(s, tile);
  const { tiles, chunks, lists, vectors } = listsOf(s, tile);
  const [co, ci] = [s.co / s.groups, s.ci / s.groups];
  const kernel = s.kh * s.kw;
  const steps = [nv * ng * rows * cols, s.rows.step * cols, s.cols.step];
  const make = (): Storage => {
    const packed = device.allocate(16 * (vectors + ceil(lists, 4)));
    device.dispatch(
      program('conv_sparse_pack', 'rw', { CK: depth, U: u, TH: s.rows.count, TW: s.cols.count }),
      [w, packed],
      uniform()
        .uint(lists, chunks, tiles, co, ci, co * ci * kernel, s.flip ? kernel : ci * kernel, s.flip ? co * kernel : kernel)
        .int(s.kw, s.rows.k0, s.rows.ks, s.cols.k0, s.cols.ks)
        .uint(...steps),
      gridFor(lists, 64),
    );
    return packed;
  };
  const taps = [s.rows.count, s.cols.count, s.kw, s.rows.k0, s.rows.ks, s.cols.k0, s.cols.ks];
  device.derived(w, `sparse ${[depth, u, tiles, ...steps, s.flip, s.co, s.ci, s.groups, ...taps]}`, make, use);
}
