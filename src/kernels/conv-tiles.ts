/**
 * Kernels and tiles of convolutions: the defaults by class of adapter, which need no measuring, and the candidates that the tuner may choose
 * instead.
 */
import type { Device } from '../device/index.ts';
import { type GemmTile, type GemmWeightTile, gemmMemory } from './conv-gemm.ts';
import { type MatrixTile, type MatrixWeightTile, matrixFits, matrixFitsWeights, matrixMemory } from './conv-matrix.ts';
import { type ConvPass, type ConvShape, ceil, isPointwise } from './conv-pass.ts';
import type { SparseTile } from './conv-sparse.ts';
import { defaultSparseTile, hasLists, listsKey, sparseTiles } from './conv-sparse-tiles.ts';
import type { TapsTile, TapsWeightTile } from './conv-taps.ts';
import { type WinogradTile, winogradFits } from './conv-winograd.ts';

export type PassTile = TapsTile | GemmTile | MatrixTile | SparseTile | WinogradTile;
export type WeightTile = TapsWeightTile | GemmWeightTile | MatrixWeightTile;

/** Workgroups below which a GPU runs empty: a smaller tile is then the faster one. */
const BUSY = 96;
/** Taps of a kernel up to which one invocation of conv_weight_grad computes them all. */
const MOST_TAPS = 9;
/** Density up to which skipping zeros pays on lavapipe where it does not always: above, the branch on a row of taps goes wrong too often. */
const WORTH_SKIPPING = 0.22;
/** The same where images are so narrow that a row of taps has little work for its branch. */
const WORTH_SKIPPING_NARROW = 0.11;
/**
 * Density up to which lists of those rows of taps that are not all 0 pay on lavapipe, by vec4s of columns an invocation: what is saved are loads of
 * weights, and by 32 output channels an invocation those of pixels.
 */
const WORTH_LISTING: Readonly<Record<number, number>> = { 1: 0.07, 2: 0.08, 4: 0.25 };
/** Densities that kernels are chosen for: weights count as the nearest, by ratio. */
export const densities: readonly number[] = [0.05, 0.1, 0.2, 0.5];

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
/** For pixels, which have three channels. */
const narrow = gemm(128, 1, 4, 1, 16);

export function defaultPassTile(device: Device, s: ConvPass): PassTile {
  const co = s.co / s.groups;
  if (device.adapter.processor) {
    const { kind, subgroupSize: lanes } = device.adapter;
    if (isPointwise(s)) {
      const q = co > 16 && kind === 'lavapipe' ? 8 : co > 8 ? 4 : co > 4 ? 2 : 1;
      return { kernel: 'taps', q, v: s.ow > 4 ? 2 : 1, r: 1, lanes };
    }
    if (kind === 'swiftshader' && s.stride === 1 && s.ys === 1) {
      // two or four rows, in as few registers as let all rows of taps be written out, for its loops are slow; phases of input gradients are too
      // short to be worth the time of compiling that
      const v = s.ow > 8 ? 2 : 1;
      const r = rowsThatFill(device, s, v, s.ow > 4 ? 2 : 4);
      const most = r === 1 ? 4 : 8 / (v * r);
      return { kernel: 'taps', q: Math.min(co > 8 ? 4 : co > 4 ? 2 : 1, most), v, r, lanes };
    }
    const q = co > 8 ? 4 : co > 4 ? 2 : 1;
    if (kind !== 'lavapipe') return { kernel: 'taps', q, v: s.ow > 4 ? 2 : 1, r: 1, lanes };
    const v = s.ow > 8 && s.stride === 1 ? 4 : s.ow > 4 ? 2 : 1;
    const skip = skipsAlways(s, { q, v, lanes });
    const r = v === 1 ? rowsThatFill(device, s, v, 4) : v === 2 && skip ? rowsThatFill(device, s, v, 2) : 1;
    return { kernel: 'taps', q: r === 4 ? Math.min(q, 2) : q, v, r, lanes, ...(skip ? { skip } : {}) };
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
  if (co <= 4 && fits(narrow)) return narrow;
  // the fastest of a scan on an H100, the larger ones first
  const tiles = co > 64 ? [gemm(16, 16, 8, 8, 16), gemm(8, 16, 8, 8, 16), gemm(8, 16, 8, 4, 16)] : [gemm(16, 8, 8, 8, 16)];
  return tiles.find(fits) ?? (gemmMemory(small) <= most ? small : smallest);
}

/** On software adapters: of `most`, half of it and so on, the most rows an invocation that leave no lane of a subgroup without work; they share loads of x. */
function rowsThatFill(device: Device, s: ConvPass, v: number, most: number): number {
  const { kind, subgroupSize } = device.adapter;
  if ((kind !== 'lavapipe' && kind !== 'swiftshader') || s.stride > 1) return 1;
  const fills = (r: number) => r <= s.oh && s.n * ceil(s.oh, r) * ceil(s.ow, 4 * v) >= subgroupSize;
  return [4, 2].find(r => r <= most && fills(r)) ?? 1;
}

/**
 * The density that the kernels of a pass are chosen for; undefined where weights count as dense: on SwiftShader, which computes both sides of a
 * branch, and on matrix units.
 */
export function densityClass(device: Device, density = 1): number | undefined {
  if (device.adapter.kind !== 'lavapipe' && !hasLists(device)) return undefined;
  const distance = (d: number) => Math.abs(Math.log(density / d));
  const nearest = [1, ...densities].reduce((a, b) => (distance(b) < distance(a) ? b : a));
  return nearest === 1 ? undefined : nearest;
}

/** Which densities are treated alike: equal for two of them where every pass gets the same kernel. */
export function densityKey(device: Device, density: number): string {
  const nearest = densityClass(device, density) ?? 1;
  if (hasLists(device)) return `${nearest} ${listsKey(density)}`;
  const limits = [WORTH_SKIPPING, WORTH_SKIPPING_NARROW, ...Object.values(WORTH_LISTING)];
  return device.adapter.kind === 'lavapipe' ? `${nearest} ${limits.map(limit => density <= limit)}` : '';
}

/**
 * The tile that computes a pass, measured or default. Where few weights are left, one that was not measured for few skips zeros or takes lists of the
 * others, and takes more rows or channels. On lavapipe that leaves the sums the same to the bit, so a layer may pass from one density to another
 * without a trace; other numbers of columns round differently at the edges of images.
 */
export function passTile(device: Device, s: ConvPass, chosen: PassTile | null): PassTile {
  const tile = chosen ?? defaultPassTile(device, s);
  if (hasLists(device)) return isDense(tile) && tile.lists === undefined ? (defaultSparseTile(device, s) ?? tile) : tile;
  const { density = 1 } = s;
  if (device.adapter.kind !== 'lavapipe' || tile.kernel !== 'taps' || !canSkip(tile)) return tile;
  if (isPointwise(s)) {
    // a test costs more than it skips, unless several rows and most channels of a large tile depend on it
    const pays = !chosen && density <= WORTH_SKIPPING_NARROW && tile.v === 2 && tile.q === 8;
    return pays ? { ...tile, r: rowsThatFill(device, s, tile.v, 2), skip: true } : tile;
  }
  // of an input gradient it was chosen for the first phase: the rows of others may have more taps, or fewer
  if (chosen && 'lists' in chosen) return tile.lists && !canList(s, tile) ? { ...tile, skip: true, lists: false } : tile;
  if (canList(s, tile) && (s.co / s.groups) % 32 === 0 && density <= (WORTH_LISTING[tile.v] ?? 0)) {
    const { skip, ...listed } = { ...tile, q: 8, r: tile.v === 4 ? 1 : rowsThatFill(device, s, tile.v, tile.v === 2 ? 2 : 4) };
    return { ...listed, lists: true };
  }
  if (skipsAlways(s, tile) || density > (s.ow <= 4 ? WORTH_SKIPPING_NARROW : WORTH_SKIPPING)) return tile;
  return { ...tile, r: Math.max(tile.r, tile.v === 2 ? rowsThatFill(device, s, tile.v, 4) : 1), skip: true };
}

/** Whether it computes with all weights on GPUs, in f32: what lists of weights are measured against. */
const isDense = (tile: PassTile): tile is GemmTile | WinogradTile => tile.kernel === 'gemm' || tile.kernel === 'winograd';

/** Skipping asks weights that a subgroup loads for itself, whole registers of them. */
const canSkip = ({ q, lanes }: Pick<TapsTile, 'q' | 'lanes'>): boolean => lanes > 0 && (4 * q) % lanes === 0;

/** Lists are of rows of three taps, and of as many output channels as a word has bits. */
const canList = (s: ConvPass, tile: TapsTile): boolean => canSkip(tile) && s.cols.count === 3 && 4 * tile.q <= 32;

/**
 * Whether a tile on lavapipe tests rows of taps whatever the density: where there is enough work to a test, code in many branches is faster than
 * the same in one piece, even if no weight is 0.
 */
const skipsAlways = (s: ConvPass, tile: Pick<TapsTile, 'q' | 'v' | 'lanes'>): boolean =>
  tile.v > 1 && s.cols.count > 2 && canSkip(tile);

export function defaultWeightTile(device: Device, s: ConvShape): WeightTile {
  const co = s.co / s.groups;
  const ci = s.ci / s.groups;
  if (device.adapter.processor) {
    const { kind, subgroupSize: lanes } = device.adapter;
    // eight columns at a time: everywhere on SwiftShader, on lavapipe where they are whole rows, beside which is nothing to load
    const wide = s.kh * s.kw > 1 && s.stride === 1 && s.ow > 4 && (kind === 'swiftshader' || (kind === 'lavapipe' && s.ow <= 8));
    return {
      kernel: 'taps',
      tm: co > 8 && !wide ? 16 : co > 4 ? 8 : 4,
      tc: s.kh * s.kw > 1 || ci <= lanes ? 1 : 2,
      v: wide ? 2 : 1,
      all: s.kh * s.kw <= MOST_TAPS,
      lanes,
      parallel: 512,
    };
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

// -- candidates --------------------------------------------------------------------------------------------------------------------------

/** On adapters that are processors, with subgroups where they have any; the default also without. */
export const tapsSizes: readonly Omit<TapsTile, 'kernel' | 'lanes' | 'skip'>[] = [
  { q: 4, v: 2, r: 1 },
  { q: 4, v: 4, r: 1 },
  { q: 8, v: 2, r: 1 },
  { q: 2, v: 4, r: 1 },
  { q: 2, v: 2, r: 2 },
  { q: 8, v: 1, r: 2 },
  { q: 4, v: 1, r: 2 },
  { q: 4, v: 1, r: 1 },
  { q: 2, v: 1, r: 2 },
  { q: 2, v: 1, r: 4 },
  { q: 8, v: 1, r: 1 },
  { q: 1, v: 4, r: 1 },
];
/** And on lavapipe: rows, or for few weights many channels, that share their loads. */
export const tallSizes: typeof tapsSizes = [
  { q: 4, v: 2, r: 2 },
  { q: 4, v: 2, r: 4 },
  { q: 8, v: 4, r: 1 },
  { q: 8, v: 2, r: 2 },
];

export const tapsWeightSizes: readonly Omit<TapsWeightTile, 'kernel' | 'lanes' | 'parallel'>[] = [
  { tm: 16, tc: 1, v: 1, all: true },
  { tm: 16, tc: 1, v: 2, all: true },
  { tm: 16, tc: 2, v: 1, all: true },
  { tm: 8, tc: 1, v: 1, all: true },
  { tm: 8, tc: 1, v: 2, all: true },
  { tm: 16, tc: 2, v: 1, all: false },
  { tm: 16, tc: 1, v: 1, all: false },
  { tm: 16, tc: 1, v: 2, all: false },
  { tm: 8, tc: 2, v: 2, all: false },
  { tm: 32, tc: 1, v: 1, all: false },
];

/** On GPUs. */
export const gemmTiles: readonly GemmTile[] = [
  gemm(16, 16, 8, 8, 16),
  gemm(16, 16, 8, 8, 8),
  gemm(16, 16, 8, 4, 16),
  gemm(8, 16, 8, 8, 16),
  gemm(8, 16, 8, 4, 16),
  gemm(16, 8, 8, 8, 16),
  small,
  smallest,
];

/** On their matrix units, with `precision: 'f16'`. */
export const matrixTiles: readonly MatrixTile[] = [
  matrix(2, 4, 2, 2, 32),
  matrix(2, 4, 4, 2, 32),
  matrix(2, 4, 4, 2, 16),
  matrix(4, 2, 2, 4, 32),
  matrix(1, 8, 4, 2, 16),
];
/** Those of them that weight gradients take. */
export const matrixWeightTiles: readonly MatrixTile[] = matrixTiles.slice(0, 2);

/** On GPUs, in f32. On adapters that are processors they are slower (bench/NOTES.md). */
export const winogradTiles: readonly WinogradTile[] = [
  { kernel: 'winograd', m: 2 },
  { kernel: 'winograd', m: 4 },
];

/** What the tuner tries for a pass of dense weights beside its default. */
export function passCandidates(device: Device, s: ConvPass): PassTile[] {
  const byDefault = defaultPassTile(device, s);
  const others = unlike(byDefault);
  const co = s.co / s.groups;
  if (byDefault.kernel === 'taps') {
    const { skip, ...alone } = byDefault;
    const tiles = tapsTiles(device, s).map(t => (skip && skipsAlways(s, t) ? { ...t, skip } : t));
    return [...tiles, { ...alone, lanes: 0 }].filter(others);
  }
  const most = device.limits.maxComputeWorkgroupStorageSize;
  const inF16 = device.precision === 'f16' ? matrixTiles.filter(t => matrixMemory(t) <= most && matrixFits(s, t)) : [];
  const inF32 = [...(co <= 4 ? [narrow] : []), ...gemmTiles].filter(t => gemmMemory(t) <= most);
  const winograd = device.precision === 'f32' ? winogradTiles.filter(t => winogradFits(device, s, t)) : [];
  return [...inF16, ...inF32, ...winograd].filter(others);
}

/** The same for weights of a density class, with as many columns as the tile of dense weights has. @param dense what was measured for those */
export function sparseCandidates(device: Device, s: ConvPass, dense: PassTile | null): PassTile[] {
  const tile = dense ?? defaultPassTile(device, s);
  if (hasLists(device)) {
    const others = isDense(tile) ? [...sparseTiles(device, s), { ...tile, lists: false as const }] : [];
    return others.filter(unlike(passTile(device, s, dense)));
  }
  const tiles = tapsTiles(device, s).filter(t => tile.kernel === 'taps' && t.v === tile.v && canSkip(t));
  const ways = (t: TapsTile) => [
    ...[true, false].map(skip => ({ ...t, skip, lists: false })),
    ...(canList(s, t) ? [{ ...t, lists: true }] : []),
  ];
  return tiles.flatMap(ways).filter(unlike(passTile(device, s, dense)));
}

/** Sizes that are not more padding than outputs. */
function tapsTiles(device: Device, s: ConvPass): TapsTile[] {
  const { kind, subgroupSize: lanes } = device.adapter;
  const sizes = kind === 'lavapipe' ? [...tapsSizes, ...tallSizes] : tapsSizes;
  const fitting = sizes.filter(({ q, v, r }) => 4 * q < s.co / s.groups + 4 && 4 * v < s.ow + 4 && r <= s.oh);
  return fitting.map(size => ({ kernel: 'taps', ...size, lanes }));
}

/** The same for a weight gradient. */
export function weightCandidates(device: Device, s: ConvShape): WeightTile[] {
  const byDefault = defaultWeightTile(device, s);
  const others = unlike(byDefault);
  // fewer and more slices than by default
  const slices = [0.25, 4].map(factor => ({ ...byDefault, parallel: factor * byDefault.parallel }));
  const [co, ci] = [s.co / s.groups, s.ci / s.groups];
  if (device.adapter.processor) {
    const lanes = device.adapter.subgroupSize;
    const sizes = tapsWeightSizes.filter(
      ({ tm, tc, v, all }) =>
        tm < co + 4 && tc <= (s.kw > 3 ? 1 : ci) && 4 * v < s.ow + 4 && (!all || (s.kh > 1 && s.kh * s.kw <= MOST_TAPS)),
    );
    const tiles = sizes.map((size): TapsWeightTile => ({ kernel: 'taps', ...size, lanes, parallel: 512 }));
    return [...tiles, { ...byDefault, lanes: 0 } as TapsWeightTile, ...slices].filter(others);
  }
  const most = device.limits.maxComputeWorkgroupStorageSize;
  const inF16 = device.precision === 'f16' && matrixFitsWeights(s) ? matrixWeightTiles.filter(t => matrixMemory(t) <= most) : [];
  const inF32 = gemmTiles.filter(t => gemmMemory(t) <= most);
  const tiles = [...inF16.map(t => ({ ...t, parallel: 264 })), ...inF32.map(t => ({ ...t, parallel: 528 }))];
  return [...tiles, ...slices].filter(others);
}

const unlike = (byDefault: object) => (tile: object) => JSON.stringify(tile) !== JSON.stringify(byDefault);
