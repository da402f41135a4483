/**
 * Convolution: bindings, variants and grids of conv_taps.wgsl, conv_pack.wgsl and conv_weight_grad.wgsl.
 *
 * All three passes of conv2d (forward, input gradient, weight gradient; any stride, padding, dilation and groups) are here in terms of
 * storages; shapes are checked a room above.
 */
import { type Device, type Grid, gridFor, type Storage, uniform } from '../device/index.ts';
import { fillFloat } from './fill.ts';
import { program } from './kernel.ts';
import { reduceSlices } from './reduce.ts';

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
}

/** Register tile of conv_taps: 4·q output channels x rows x 4·v columns an invocation; and its workgroup. */
export interface TapsTile {
  q: number;
  v: number;
  r: number;
  wx: number;
  wy: number;
}

/** Register tile of conv_weight_grad: tm output x tc input channels, 4·v columns at a time; and its workgroup. */
export interface WeightGradTile {
  tm: number;
  tc: number;
  v: number;
  wx: number;
  wy: number;
  /** Invocations wanted; rows are cut into slices until there are as many. */
  parallel: number;
}

/** One dimension's taps of a pass: `count` taps, the first at kernel index `k0`, each next `ks` further, reading at `offset + step·t`. */
interface Taps {
  count: number;
  k0: number;
  ks: number;
  offset: number;
  step: number;
}

const ceil = (a: number, b: number) => Math.ceil(a / b);

/** Tiles by class of adapter. SwiftShader's compiler is slow with many live registers, so it gets no second row. */
export function defaultTapsTile(device: Device, co: number, oh: number, ow: number): TapsTile {
  const v = ow > 4 ? 2 : 1;
  const r = v === 1 && oh > 1 && device.adapter.architecture !== 'swiftshader' ? 2 : 1;
  return { q: co > 8 ? 4 : co > 4 ? 2 : 1, v, r, wx: 8, wy: 4 };
}

export function defaultWeightGradTile(device: Device, s: ConvShape): WeightGradTile {
  const co = s.co / s.groups;
  const ci = s.ci / s.groups;
  const small = device.adapter.architecture === 'swiftshader';
  return {
    tm: co > 4 ? 8 : 4,
    tc: s.kw > 3 ? 1 : Math.min(ci, small ? 2 : 4),
    v: small || s.ow <= 4 ? 1 : 2,
    wx: 8,
    wy: 4,
    parallel: small ? 512 : 2048,
  };
}

/** Runs conv_taps for one set of taps. `flip` reads w with its channel dimensions exchanged (input gradient). */
function runTaps(
  device: Device,
  x: Storage,
  w: Storage,
  y: Storage,
  s: { n: number; ci: number; h: number; w: number; co: number; oh: number; ow: number; yh: number; yw: number; groups: number },
  at: { stride: number; ys: number; ya: number; yb: number; rows: Taps; cols: Taps },
  weights: { kh: number; kw: number; flip: boolean },
  tile: TapsTile,
): void {
  const co = s.co / s.groups;
  const ci = s.ci / s.groups;
  const cop = ceil(co, 4 * tile.q) * 4 * tile.q;
  const { rows, cols } = at;
  const total = s.groups * ci * rows.count * cols.count * cop;
  const packed = device.allocate(total * 4);
  const kernel = weights.kh * weights.kw;
  device.dispatch(
    program('conv_pack', 'rw'),
    [w, packed],
    uniform()
      .uint(total, ci, rows.count, cols.count, cop, co)
      .uint(co * ci * kernel, weights.flip ? kernel : ci * kernel, weights.flip ? co * kernel : kernel)
      .int(weights.kw, rows.k0, rows.ks, cols.k0, cols.ks),
    gridFor(total, 64),
  );

  const { stride } = at;
  const { q, v, r, wx, wy } = tile;
  const columns = Array.from({ length: cols.count }, (_, t) => cols.offset + cols.step * t);
  const variant = {
    Q: q,
    V: v,
    R: r,
    S: stride,
    TW: cols.count,
    COL: columns,
    M0: Math.floor(Math.min(...columns) / 4),
    M1: Math.floor((stride * (4 * v - 1) + Math.max(...columns)) / 4),
    VEC: s.w % 4 === 0 ? 1 : 0,
    BLOCK: 8,
    WX: wx,
    WY: wy,
  };
  const tilesW = ceil(s.ow, 4 * v);
  const tilesH = ceil(s.oh, r);
  const tilesCo = cop / (4 * q);
  const [gx, gz] = gridFor(tilesW * tilesH * s.n, wx);
  const grid: Grid = [gx, ceil(tilesCo * s.groups, wy), gz];
  device.dispatch(
    program('conv_taps', 'rrw', variant),
    [x, packed, y],
    uniform()
      .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.yh, s.yw, at.ys, at.ya, at.yb)
      .int(rows.offset, rows.step)
      .uint(rows.count, s.groups, tilesW, tilesH, tilesCo, cop / 4),
    grid,
  );
  device.discard(packed);
}

/** y = conv2d(x, w). */
export function convForward(
  device: Device,
  x: Storage,
  w: Storage,
  y: Storage,
  s: ConvShape,
  tile = defaultTapsTile(device, s.co / s.groups, s.oh, s.ow),
): void {
  const taps = (count: number): Taps => ({ count, k0: 0, ks: 1, offset: -s.padding, step: s.dilation });
  runTaps(
    device,
    x,
    w,
    y,
    { ...s, yh: s.oh, yw: s.ow },
    { stride: s.stride, ys: 1, ya: 0, yb: 0, rows: taps(s.kh), cols: taps(s.kw) },
    { kh: s.kh, kw: s.kw, flip: false },
    tile,
  );
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
export function convInputGrad(
  device: Device,
  g: Storage,
  w: Storage,
  gx: Storage,
  s: ConvShape,
  tile = defaultTapsTile(device, s.ci / s.groups, s.h / s.stride, s.w / s.stride),
): void {
  const phases = [];
  for (let a = 0; a < s.stride; a++) {
    for (let b = 0; b < s.stride; b++) phases.push({ a, b, rows: phaseTaps(s, a, s.kh), cols: phaseTaps(s, b, s.kw) });
  }
  if (phases.some(f => f.rows.count * f.cols.count === 0)) fillFloat(device, gx, s.n * s.ci * s.h * s.w, 0);
  for (const { a, b, rows, cols } of phases) {
    const oh = ceil(s.h - a, s.stride);
    const ow = ceil(s.w - b, s.stride);
    if (rows.count * cols.count === 0 || oh <= 0 || ow <= 0) continue;
    runTaps(
      device,
      g,
      w,
      gx,
      { n: s.n, ci: s.co, h: s.oh, w: s.ow, co: s.ci, oh, ow, yh: s.h, yw: s.w, groups: s.groups },
      { stride: 1, ys: s.stride, ya: a, yb: b, rows, cols },
      { kh: s.kh, kw: s.kw, flip: true },
      tile,
    );
  }
}

/** gw = the gradient of sum(conv2d(x, w) · g) by w. */
export function convWeightGrad(
  device: Device,
  x: Storage,
  g: Storage,
  gw: Storage,
  s: ConvShape,
  tile = defaultWeightGradTile(device, s),
): void {
  const ci = s.ci / s.groups;
  const co = s.co / s.groups;
  const { tm, tc, v, wx, wy } = tile;
  const tilesCi = ceil(ci, tc);
  const tilesCo = ceil(co, tm);
  const invocations = tilesCi * tilesCo * s.kh * s.groups;
  const allRows = s.n * s.oh;
  const slices = Math.max(1, Math.min(allRows, 64, ceil(tile.parallel, invocations)));
  const rows = ceil(allRows, slices);
  const used = ceil(allRows, rows);
  const columns = Array.from({ length: s.kw }, (_, t) => t * s.dilation - s.padding);
  const variant = {
    TM: tm,
    TC: tc,
    V: v,
    S: s.stride,
    TW: s.kw,
    COL: columns,
    M0: Math.floor(Math.min(...columns) / 4),
    M1: Math.floor((s.stride * (4 * v - 1) + Math.max(...columns)) / 4),
    VEC: s.w % 4 === 0 && s.ow % 4 === 0 ? 1 : 0,
    WX: wx,
    WY: wy,
  };
  const size = s.co * ci * s.kh * s.kw;
  const part = used === 1 ? gw : device.allocate(used * size * 4);
  device.dispatch(
    program('conv_weight_grad', 'rrw', variant),
    [x, g, part],
    uniform()
      .uint(s.n, s.ci, s.h, s.w, s.co, s.oh, s.ow, s.kh, s.groups)
      .int(s.padding, s.dilation)
      .uint(used, rows, tilesCi, tilesCo),
    [ceil(tilesCi * used, wx), ceil(s.kh * tilesCo * s.groups, wy), 1],
  );
  if (part !== gw) {
    reduceSlices(device, part, gw, used, size);
    device.discard(part);
  }
}
