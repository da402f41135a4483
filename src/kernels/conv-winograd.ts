/**
 * Convolution by Winograd's minimal filtering: 3x3 taps of stride 1, in tiles of m x m outputs for which (m + 2)² products of channels are
 * summed where the definition has 9 m². So F(2x2, 3x3) multiplies 2.25 times less and F(4x4, 3x3) 4 times less, but moves more numbers, and
 * the second rounds more: of 128 channels, against float64, relative to the norm of the output, 2.0e-7 and 1.3e-6. For that the products are
 * summed in blocks; one sum after the other, as conv_gemm does else, they have 3.7e-7 and 2.5e-6, and the definition 5.9e-7.
 *
 *   y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ d B) ] A,   summed over input channels where ⊙ is
 *
 * After Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1 to 4.3; the points of F(4x4, 3x3) are
 * 0, ±1, ±2 and infinity. The products at one of the (m + 2)² places are a matrix product [CO, CI] · [CI, T], and those of all places together a
 * 1x1 convolution of as many groups, which the usual kernels compute.
 */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { type ConvPass, ceil } from './conv-pass.ts';
import { program } from './kernel.ts';

export interface WinogradTile {
  kernel: 'winograd';
  /** Outputs of a tile, along rows and along columns. */
  m: 2 | 4;
  /** As for `GemmTile`. */
  lists?: false;
}

/** By m: Bᵀ [m+2, m+2], G [m+2, 3], Aᵀ [m, m+2]. */
export const winogradMatrices = {
  2: {
    b: [
      [1, 0, -1, 0],
      [0, 1, 1, 0],
      [0, -1, 1, 0],
      [0, 1, 0, -1],
    ],
    g: [
      [1, 0, 0],
      [1 / 2, 1 / 2, 1 / 2],
      [1 / 2, -1 / 2, 1 / 2],
      [0, 0, 1],
    ],
    a: [
      [1, 1, 1, 0],
      [0, 1, -1, -1],
    ],
  },
  4: {
    b: [
      [4, 0, -5, 0, 1, 0],
      [0, -4, -4, 1, 1, 0],
      [0, 4, -4, -1, 1, 0],
      [0, -2, -1, 2, 1, 0],
      [0, 2, -1, -2, 1, 0],
      [0, 4, 0, -5, 0, 1],
    ],
    g: [
      [1 / 4, 0, 0],
      [-1 / 6, -1 / 6, -1 / 6],
      [-1 / 6, 1 / 6, -1 / 6],
      [1 / 24, 1 / 12, 1 / 6],
      [1 / 24, -1 / 12, 1 / 6],
      [0, 0, 1],
    ],
    a: [
      [1, 1, 1, 1, 1, 0],
      [0, 1, -1, 2, -2, 0],
      [0, 1, 1, 4, 4, 0],
      [0, 1, -1, 8, -8, 1],
    ],
  },
} as const;

/** Whether a pass is one of 3x3 neighbouring taps, stride 1 and one group, and what it stores in between fits a buffer. */
export function winogradFits(device: Device, s: ConvPass, { m }: WinogradTile): boolean {
  const neighbours = [s.rows, s.cols].every(taps => taps.count === 3 && taps.step === 1);
  const bytes = 4 * (m + 2) ** 2 * Math.max(s.ci, s.co) * Math.max(tilesOf(s, m).tiles, Math.min(s.ci, s.co));
  const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
  return (
    neighbours && s.stride === 1 && s.ys === 1 && s.groups === 1 && bytes <= Math.min(maxStorageBufferBindingSize, maxBufferSize)
  );
}

function tilesOf(s: ConvPass, m: number) {
  const [tilesH, tilesW] = [ceil(s.oh, m), ceil(s.ow, m)];
  return { tilesH, tilesW, tiles: s.n * tilesH * tilesW };
}

/** One pass for which `winogradFits`. @param multiply computes another pass, in the usual way */
export function convWinograd(
  device: Device,
  x: Storage,
  w: Storage,
  y: Storage,
  s: ConvPass,
  { m }: WinogradTile,
  multiply: (x: Storage, w: Storage, y: Storage, s: ConvPass) => void,
): void {
  const { tiles, tilesH, tilesW } = tilesOf(s, m);
  const places = (m + 2) ** 2;
  const { b, g, a } = winogradMatrices[m];
  const named = { M: m };
  const { ci, co, rows, cols } = s;

  const v = device.allocate(4 * places * ci * tiles);
  device.dispatch(
    program('winograd_input', 'rw', named, 'main', { A: m + 2, B: b.flat(), B0: firsts(b) }),
    [x, v],
    uniform().uint(tiles, tilesH, tilesW, ci, s.h, s.w).int(rows.offset, cols.offset),
    gridFor(tiles * ci, 64),
  );
  const sums = device.allocate(4 * places * co * tiles);
  const make = (): Storage => {
    const u = device.allocate(4 * places * co * ci);
    device.dispatch(
      program('winograd_weights', 'rw', named, 'main', { A: m + 2, G: g.flat() }),
      [w, u],
      uniform()
        .uint(co, ci, s.flip ? 9 : 9 * ci, s.flip ? 9 * co : 9)
        .int(rows.k0, rows.ks, cols.k0, cols.ks),
      gridFor(co * ci, 64),
    );
    return u;
  };
  const one = { count: 1, k0: 0, ks: 1, offset: 0, step: 1 };
  const product: ConvPass = {
    n: 1,
    ci: places * ci,
    h: 1,
    w: tiles,
    co: places * co,
    oh: 1,
    ow: tiles,
    yh: 1,
    yw: tiles,
    groups: places,
    stride: 1,
    ys: 1,
    ya: 0,
    yb: 0,
    rows: one,
    cols: one,
    kh: 1,
    kw: 1,
    flip: false,
    blocks: true,
  };
  const taps = [rows.k0, rows.ks, cols.k0, cols.ks];
  device.derived(w, `winograd ${[m, s.flip, co, ci, ...taps]}`, make, u => multiply(v, u, sums, product));
  device.discard(v);
  device.dispatch(
    program('winograd_output', 'rw', named, 'main', { A: m + 2, AT: a.flat(), AT0: firsts(a) }),
    [sums, y],
    uniform().uint(tiles, tilesH, tilesW, co, s.oh, s.ow),
    gridFor(tiles * co, 64),
  );
  device.discard(sums);
}

/** The column of each row's first element that is not 0. */
const firsts = (matrix: readonly (readonly number[])[]): number[] => matrix.map(row => row.findIndex(value => value !== 0));
