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
  /** On GPUs in f32: terms are summed in blocks, whose sums are added, which rounds less. Kernels in registers do that anyway. */
  blocks?: boolean;
}

export const ceil = (a: number, b: number): number => Math.ceil(a / b);

/**
 * Whether every output is a sum over the channels of the pixel in its place, as in a 1x1 convolution of stride 1. A phase of an input gradient that
 * leaves gaps does not count: each has programs of its own already.
 */
export const isPointwise = (s: ConvPass): boolean =>
  s.stride === 1 && s.ys === 1 && [s.rows, s.cols].every(taps => taps.count === 1 && taps.offset === 0);

/** The forward pass. */
export function forwardPass(s: ConvShape): ConvPass {
  const taps = (count: number): Taps => ({ count, k0: 0, ks: 1, offset: -s.padding, step: s.dilation });
  return { ...s, yh: s.oh, yw: s.ow, ys: 1, ya: 0, yb: 0, rows: taps(s.kh), cols: taps(s.kw), flip: false };
}

/**
 * Whether the pixels that a forward pass reads are gathered first, so that it becomes pointwise: for single taps of a stride on adapters that are
 * processors, where each tile of output channels would pay again for the pixels between.
 */
export const gathersPixels = (device: Device, s: ConvShape): boolean =>
  device.adapter.processor && s.stride > 1 && s.kh * s.kw === 1 && s.padding === 0;

/** What a forward pass is launched as. */
export const launchedForward = (device: Device, s: ConvShape): ConvPass =>
  gathersPixels(device, s) ? { ...forwardPass(s), h: s.oh, w: s.ow, stride: 1 } : forwardPass(s);

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

/** The phases of an input gradient. Where one has no taps its elements are 0; the others are written by the passes returned. */
export function inputGradPasses(s: ConvShape): { passes: ConvPass[]; complete: boolean } {
  const passes: ConvPass[] = [];
  let complete = true;
  const { groups, density } = s;
  const grad = { n: s.n, ci: s.co, h: s.oh, w: s.ow, co: s.ci, yh: s.h, yw: s.w, groups, stride: 1, ys: s.stride, density };
  for (let ya = 0; ya < s.stride; ya++) {
    for (let yb = 0; yb < s.stride; yb++) {
      const [rows, cols] = [phaseTaps(s, ya, s.kh), phaseTaps(s, yb, s.kw)];
      const [oh, ow] = [ceil(s.h - ya, s.stride), ceil(s.w - yb, s.stride)];
      if (rows.count * cols.count === 0) complete = false;
      else if (oh > 0 && ow > 0) passes.push({ ...grad, ya, yb, rows, cols, oh, ow, kh: s.kh, kw: s.kw, flip: true });
    }
  }
  return { passes, complete };
}

/** The passes that an input gradient is launched as. */
export interface LaunchedInputGrad {
  readonly passes: readonly ConvPass[];
  /** Whether every element is written by one of them; what is not is 0. */
  readonly complete: boolean;
  /** Where a single phase has taps, the first row and column that it is of: it is computed without gaps, and its result is spread. */
  readonly spread?: { readonly a: number; readonly b: number };
}

/** What an input gradient is launched as. */
export function launchedInputGrad(s: ConvShape): LaunchedInputGrad {
  const { passes, complete } = inputGradPasses(s);
  if (complete || passes.length !== 1) return { passes, complete };
  const [phase] = passes;
  const dense = { ...phase, yh: phase.oh, yw: phase.ow, ys: 1, ya: 0, yb: 0 };
  return { passes: [dense], complete, spread: { a: phase.ya, b: phase.yb } };
}

/** Elements of the weights between one output channel of a pass and the next, and one input channel and the next. */
function channelStrides({ co, ci, groups, kh, kw, flip }: ConvPass): [number, number] {
  const kernel = kh * kw;
  return flip ? [kernel, (co / groups) * kernel] : [(ci / groups) * kernel, kernel];
}

/**
 * Hands `use` the weights of a pass as [G, TILES, CI, TH, TW/per, tile, per] (or [G, TILES, TH, TW/per, CI, tile, per] with `outerTaps`), zeros
 * past CO/G and TW. @param per columns of taps that are side by side, 1 by default @param channels input channels that are taken for the columns of
 * taps of one, of a kernel with a single tap; 1 by default @param spare elements after the end that a kernel may read
 * and not use @param half rounds them to f16
 */
export function withPackedWeights(
  device: Device,
  w: Storage,
  s: ConvPass,
  {
    tile,
    outerTaps = false,
    per = 1,
    channels = 1,
    spare = 0,
    half = false,
  }: { tile: number; outerTaps?: boolean; per?: number; channels?: number; spare?: number; half?: boolean },
  use: (packed: Storage) => void,
): void {
  const co = s.co / s.groups;
  const all = s.ci / s.groups;
  const ci = all / channels;
  const tiles = ceil(co, tile);
  const kernel = s.kh * s.kw;
  const [toCo, toCi] = channelStrides(s);
  const { rows } = s;
  const cols = channels === 1 ? s.cols : { count: channels, k0: s.cols.k0, ks: toCi };
  const perRow = ceil(cols.count, per);
  const pairs = s.groups * tiles * tile * ci;
  const taps = [rows.count, cols.count, s.kw, rows.k0, rows.ks, cols.k0, cols.ks];
  const make = (): Storage => {
    const packed = device.allocate((pairs * rows.count * perRow * per + spare) * (half ? 2 : 4));
    device.dispatch(
      program('conv_pack', 'rw', { P: per, HALF: half }),
      [w, packed],
      uniform()
        .uint(pairs, ci, rows.count, cols.count, tile, tiles, co)
        .uint(co * all * kernel, toCo, channels * toCi)
        .int(s.kw, rows.k0, rows.ks, cols.k0, cols.ks)
        .uint(tile * ci * rows.count * perRow, ...(outerTaps ? [tile, ci * tile] : [rows.count * perRow * tile, tile])),
      gridFor(pairs, 64),
    );
    return packed;
  };
  // views of one storage may have other channels
  const sizes = [s.co, s.ci, s.groups];
  device.derived(w, `conv ${[tile, outerTaps, per, channels, spare, half, s.flip, ...sizes, ...taps]}`, make, use);
}

/**
 * Hands `use` those rows of taps that are not all 0, of a pass with three taps a row: conv_lists.wgsl says how. @param tile output channels of a list, 32
 * at most @param group rows that are read at once
 */
export function withListedWeights(
  device: Device,
  w: Storage,
  s: ConvPass,
  { tile, group }: { tile: number; group: number },
  use: (lists: Storage) => void,
): void {
  const { rows, cols } = s;
  if (cols.count !== 3) throw new Error(`lists are of rows of three taps, not ${cols.count}`);
  const [co, ci] = [s.co / s.groups, s.ci / s.groups];
  const tiles = ceil(co, tile);
  const pairs = s.groups * tiles * ci;
  const taps = [s.kw, rows.k0, rows.ks, cols.k0, cols.ks];
  const make = (): Storage => {
    const lists = device.allocate(pairs * rows.count * tile * 16);
    device.dispatch(
      program('conv_lists', 'rw', { CT: tile, GROUP: group }),
      [w, lists],
      uniform()
        .uint(pairs, ci, rows.count, tiles, co, co * ci * s.kh * s.kw, ...channelStrides(s))
        .int(...taps),
      gridFor(pairs, 64),
    );
    return lists;
  };
  device.derived(w, `conv lists ${[tile, group, s.flip, s.co, s.ci, s.groups, s.kh, rows.count, ...taps]}`, make, use);
}
