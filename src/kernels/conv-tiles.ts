/** Which kernel and tile a convolution runs with where nothing was measured: defaults by class of adapter. */
import type { Device } from '../device/index.ts';
import { type GemmTile, type GemmWeightTile, gemmMemory } from './conv-gemm.ts';
import { type ConvPass, type ConvShape, ceil } from './conv-pass.ts';
import type { TapsTile, TapsWeightTile } from './conv-taps.ts';

export type PassTile = TapsTile | GemmTile;
export type WeightTile = TapsWeightTile | GemmWeightTile;

/** Workgroups that keep a GPU busy. */
const BUSY = 256;

export function defaultPassTile(device: Device, s: ConvPass): PassTile {
  const co = s.co / s.groups;
  if (device.adapter.processor) {
    return { kernel: 'taps', q: co > 8 ? 4 : co > 4 ? 2 : 1, v: s.ow > 4 ? 2 : 1, r: 1, lanes: device.adapter.subgroupSize };
  }
  const positions = s.n * s.oh * s.ow;
  const large: GemmTile = { kernel: 'gemm', wx: 16, wy: 16, tm: co > 64 ? 8 : 4, tn: 8, depth: 16 };
  const groups = (t: GemmTile) => ceil(co, t.wy * t.tm) * ceil(positions, t.wx * t.tn) * s.groups;
  const fits = gemmMemory(large) <= device.limits.maxComputeWorkgroupStorageSize;
  return fits && groups(large) >= BUSY ? large : { ...large, tm: 4, tn: 4 };
}

export function defaultWeightTile(device: Device, s: ConvShape): WeightTile {
  const co = s.co / s.groups;
  const ci = s.ci / s.groups;
  if (device.adapter.processor) {
    const lanes = device.adapter.subgroupSize;
    const tm = co > 8 ? 16 : co > 4 ? 8 : 4;
    return { kernel: 'taps', tm, tc: s.kw > 3 || ci <= lanes ? 1 : 2, v: s.ow <= 4 ? 1 : 2, lanes, parallel: 512 };
  }
  const large: GemmWeightTile = { kernel: 'gemm', wx: 16, wy: 16, tm: co > 64 ? 8 : 4, tn: 8, depth: 16, parallel: 2 * BUSY };
  const fits = gemmMemory(large) <= device.limits.maxComputeWorkgroupStorageSize;
  return fits && ci * s.kh * s.kw > 64 ? large : { ...large, tm: 4, tn: 4 };
}
