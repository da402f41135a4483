/**
 * The early-bird ticket (You et al. 2020, "Drawing Early-Bird Tickets"; for robust training Chen et al. 2022): after
 * every epoch a mask is drawn of what would be kept now, and the ticket has emerged when that mask has stopped moving.
 *
 *   m_e      = the n - int((1 - p)·n) largest |s| of all n scores together
 *   d(e, f)  = |m_e xor m_f| / n
 *   emerged  = d(e, f) <= threshold for f = e-1, e-2, e-3, e-4
 *
 * The scores are the weights of all convolutions (unstructured pruning) or the gammas of all batch norms (channels). Pure
 * functions of host arrays.
 */
import type { HostTensor } from '../nn/state.ts';
import { globalCount } from './saliency/scores.ts';

/** What a ticket is made of: single weights, or channels. */
export const prunings = ['unstructured', 'channel'] as const;
export type Pruning = (typeof prunings)[number];

/** Masks that are compared: the newest and the four before it. */
export const QUEUE_LENGTH = 5;

/** The largest distance at which a ticket has emerged. */
export const emergenceThreshold: Readonly<Record<Pruning, number>> = { unstructured: 0.08, channel: 0.1 };

/** 0 or 1 for each of `size` scores: bit i % 8 of byte i / 8. */
export interface BitMask {
  readonly size: number;
  readonly bits: Uint8Array;
}

/** What the mask is drawn from, by the names of the state: a gamma is a weight with a running mean beside it. */
export function ticketScores(state: ReadonlyMap<string, HostTensor>, pruning: Pruning): Float32Array[] {
  const isNorm = (name: string) => state.has(name.replace(/weight$/, 'running_mean'));
  return [...state]
    .filter(([name, { shape }]) => name.endsWith('weight') && (pruning === 'channel' ? isNorm(name) : shape.length === 4))
    .map(([, { data }]) => data);
}

/** The mask of the largest |s|; ties go by lowest index. */
export function drawMask(scores: readonly Float32Array[], density: number): BitMask {
  const size = scores.reduce((n, s) => n + s.length, 0);
  const bits = new Uint8Array(Math.ceil(size / 8));
  const { key, ties } = smallestKept(scores, globalCount(size, density));
  let i = 0;
  let left = ties;
  for (const keys of scores.map(magnitudeKeys)) {
    for (const k of keys) {
      const own = k & MAGNITUDE;
      if (own > key || (own === key && left-- > 0)) bits[i >> 3] |= 1 << (i & 7);
      i++;
    }
  }
  return { size, bits };
}

/** The bits of a float without its sign grow with its magnitude. */
const MAGNITUDE = 0x7fffffff;
const magnitudeKeys = (s: Float32Array) => new Uint32Array(s.buffer, s.byteOffset, s.length);

/** The key of the `keep`-th largest magnitude, and how many of those that equal it are kept: two histograms of 16 bits each. */
function smallestKept(scores: readonly Float32Array[], keep: number): { key: number; ties: number } {
  let left = keep;
  const highest = (bucketOf: (key: number) => number) => {
    const counts = new Uint32Array(1 << 16);
    for (const keys of scores.map(magnitudeKeys)) {
      for (const k of keys) {
        const bucket = bucketOf(k & MAGNITUDE);
        if (bucket >= 0) counts[bucket]++;
      }
    }
    let bucket = counts.length - 1;
    while (bucket > 0 && counts[bucket] < left) left -= counts[bucket--];
    return bucket;
  };
  const high = highest(key => key >>> 16);
  const low = highest(key => (key >>> 16 === high ? key & 0xffff : -1));
  return { key: high * 65536 + low, ties: left };
}

const ones = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);

/** The part of all positions at which two masks of one size differ. */
export function maskDistance(a: BitMask, b: BitMask): number {
  if (a.size !== b.size) throw new Error(`masks of ${a.size} and ${b.size} scores are compared`);
  let differing = 0;
  for (let i = 0; i < a.bits.length; i++) differing += ones[a.bits[i] ^ b.bits[i]];
  return differing / a.size;
}

/** Whether the ticket has emerged with a mask that has these distances to all before it, the oldest first. */
export function hasEmerged(distances: readonly number[], pruning: Pruning): boolean {
  const recent = distances.slice(1 - QUEUE_LENGTH);
  return recent.length === QUEUE_LENGTH - 1 && recent.every(d => d <= emergenceThreshold[pruning]);
}
