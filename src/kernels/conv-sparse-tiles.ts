/** From which density on a GPU computes a convolution from lists of its weights, and with which tiles. */
import type { Device } from '../device/index.ts';
import { type ConvPass, ceil } from './conv-pass.ts';
import { type SparseTile, sparseLoads, sparseMemory, sparseSums, sparseWorkgroups } from './conv-sparse.ts';

/** What was found on an H100 for one kind of sizes: the best tile, and the density up to which it beats the dense kernel by a tenth. */
interface Finding {
  worth: number;
  tile: Omit<SparseTile, 'kernel'>;
}

/** Images wider than eight. */
const wide: Finding = { worth: 0.35, tile: { tc: 8, tr: 4, ng: 1, nv: 4, g: 1, wy: 16, depth: 8, u: 4, slices: 1 } };
const eight: Finding = { worth: 0.22, tile: { tc: 8, tr: 2, ng: 1, nv: 2, g: 1, wy: 32, depth: 16, u: 4, slices: 1 } };
const narrow: Finding = { worth: 0.3, tile: { tc: 4, tr: 4, ng: 2, nv: 4, g: 1, wy: 16, depth: 8, u: 4, slices: 4 } };
/** Of stride 2. */
const strided: Finding = { worth: 0.11, tile: { tc: 8, tr: 2, ng: 1, nv: 2, g: 1, wy: 32, depth: 8, u: 4, slices: 1 } };

const findings = [wide, eight, narrow, strided];

/** Taps from which on a chunk of channels has enough weights to be worth its barriers. */
const FEWEST_TAPS = 9;
/** Workgroups below which a GPU runs empty. */
const BUSY = 96;
/**
 * Loads of an invocation for a chunk above which it does little else; the tiles of the findings have 3 to 5. The fewer output channels there are, the
 * fewer invocations share a stage: 60 loads each for 3 channels, 15 for 16, 8 for 32.
 */
const MOST_LOADS = 8;
const MOST_IN_A_ROW = 65535;

function findingFor(s: ConvPass): Finding {
  if (s.stride > 1) return strided;
  return s.ow > 8 ? wide : s.ow > 4 ? eight : narrow;
}

/** Whether there are kernels for sparse weights: on GPUs, in f32. With f16 the matrix units multiply zeros faster than lists leave them out. */
export function hasLists(device: Device): boolean {
  return !device.adapter.processor && device.precision === 'f32';
}

/** Which densities are treated alike: equal for two of them where every pass gets the same kernel by default. */
export function listsKey(density: number): string {
  return findings.map(({ worth }) => Number(density <= worth)).join('');
}

/** The tile for a pass whose weights are few enough; null where the dense kernel is the faster one. */
export function defaultSparseTile(device: Device, s: ConvPass): SparseTile | null {
  const { worth, tile } = findingFor(s);
  if ((s.density ?? 1) > worth) return null;
  return fitted(device, s, tile);
}

/** The tiles found and their slices, as large as they are for much work on the largest device. */
export const largestSparseTiles: readonly SparseTile[] = findings.flatMap(({ tile }) =>
  [1, 2, 4].map((slices): SparseTile => ({ kernel: 'sparse', ...tile, slices })),
);

/** What the tuner tries for a pass of sparse weights. */
export function sparseTiles(device: Device, s: ConvPass): SparseTile[] {
  const fit = largestSparseTiles.flatMap(tile => fitted(device, s, tile) ?? []);
  return [...new Map(fit.map(tile => [JSON.stringify(tile), tile])).values()];
}

/** A tile with no more images and channels than there are, within what the device allows; null where too little work is left for it. */
function fitted(device: Device, s: ConvPass, tile: Omit<SparseTile, 'kernel'>): SparseTile | null {
  const { maxComputeInvocationsPerWorkgroup: most, maxComputeWorkgroupStorageSize: memory } = device.limits;
  const { maxStorageBufferBindingSize: binding, maxBufferSize: buffer } = device.limits;
  const lanes = tile.tc * tile.tr * tile.ng;
  const tiles = ceil(ceil(s.co / s.groups, 4), tile.g);
  const wy = [32, 16, 8, 4, 2, 1].find(w => w <= tile.wy && w * lanes <= most && w <= tiles)!;
  const nv = [4, 2, 1].find(v => v <= tile.nv && 4 * v * tile.ng <= s.n);
  if (!nv || s.rows.count * s.cols.count < FEWEST_TAPS) return null;
  const found: SparseTile = { kernel: 'sparse', ...tile, nv, wy };
  const workgroups = sparseWorkgroups(s, found);
  if (sparseLoads(s, found) > MOST_LOADS) return null;
  const allowed = sparseMemory(s, found) <= memory && sparseSums(s, found) <= Math.min(binding, buffer);
  return allowed && workgroups >= BUSY && workgroups <= MOST_IN_A_ROW ? found : null;
}
