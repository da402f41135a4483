/** What the kernels of convolution share: the sizes of a convolution, one pass of it as a sum over taps, and weights in a kernel's order. */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** Sizes of one convolution: x [N, CI, H, W], w [CO, CI/groups, KH, KW], y [N, CO, OH, OW]. */
export interface ConvShape {
  n: number;
  ci: number;
  h: number;
  w: number;
  co: number;
  oh: number;
  ow: number;
  kh: number;
  kw: number;
  stride: number;
  padding: number;
  dilation: number;
  groups: number;
  /** About which share of the weights is not 0; 1 by default. It decides which kernel is taken, and nothing else. */
  density?: number | undefined;
}

/** One dimension's taps of a pass: `count` taps, the first at kernel index `k0`, each next `ks` further, reading at `offset + step·t`. */
export interface Taps {
  count: number;
  k0: number;
  ks: number;
  offset: number;
  step: number;
}

/**
 * y[n, co, ys·i + ya, ys·j + yb] = Σ w · x[n, ci, stride·i + row tap, stride·j + column tap]: a forward pass, or a phase of an input
 * gradient. x [N, CI, H, W], y [N, CO, YH, YW] of which [OH, OW] positions are written.
 */
export interface ConvPass {
  n: number;
  ci: number;
  h: number;
  w: number;
  co: number;
  oh: number;
  ow: number;
  yh: number;
  yw: number;
  groups: number;
  stride: number;
  ys: number;
  ya: number;
  yb: number;
  rows: Taps;
  cols: Taps;
  /** The weights' kernel; `flip` reads w with its channel dimensions exchanged (input gradient). */
  kh: number;
  kw: number;
  flip: boolean;
  density?: number | undefined;
}

export const ceil = (a: number, b: number): number => Math.ceil(a / b);

/**
 * Hands `use` the weights of a pass as [G, TILES, CI, TH, TW, tile] (or [G, TILES, TH, TW, CI, tile] with `outerTaps`), zeros past CO/G.
 * @param spare elements after the end that a kernel may read and not use @param half rounds them to f16
 */
export function withPackedWeights(
  device: Device,
  w: Storage,
  s: ConvPass,
  { tile, outerTaps = false, spare = 0, half = false }: { tile: number; outerTaps?: boolean; spare?: number; half?: boolean },
  use: (packed: Storage) => void,
): void {
  const co = s.co / s.groups;
  const ci = s.ci / s.groups;
  const tiles = ceil(co, tile);
  const { rows, cols } = s;
  const total = s.groups * tiles * ci * rows.count * cols.count * tile;
  const kernel = s.kh * s.kw;
  const taps = [rows.count, cols.count, s.kw, rows.k0, rows.ks, cols.k0, cols.ks];
  const make = (): Storage => {
    const packed = device.allocate((total + spare) * (half ? 2 : 4));
    device.dispatch(
      program('conv_pack', 'rw', { OUTER: outerTaps, HALF: half }),
      [w, packed],
      uniform()
        .uint(total, ci, rows.count, cols.count, tile, tiles, co)
        .uint(co * ci * kernel, s.flip ? kernel : ci * kernel, s.flip ? co * kernel : kernel)
        .int(s.kw, rows.k0, rows.ks, cols.k0, cols.ks),
      gridFor(total, 64),
    );
    return packed;
  };
  device.derived(w, `conv ${[tile, outerTaps, spare, half, s.flip, s.groups, ...taps]}`, make, use);
}
