/**
 * Test data: small seeded arrays. The generator (mulberry32) is deliberately not the engine's Philox, so that references and engine
 * share no code.
 */
import { type Ref, ref, sizeOf } from './array.ts';

/** A seeded source of numbers in [0, 1). */
export function source(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Uniform values in [low, high). */
export function uniform(shape: readonly number[], seed: number, low = -1, high = 1): Ref {
  const next = source(seed);
  return ref(
    shape,
    Float64Array.from({ length: sizeOf(shape) }, () => low + (high - low) * next()),
  );
}

/** Uniform whole numbers in [0, below). */
export function integers(count: number, seed: number, below: number): number[] {
  const next = source(seed);
  return Array.from({ length: count }, () => Math.floor(below * next()));
}

/** The numbers 0 .. count-1 in random order (Fisher-Yates). */
export function permutation(count: number, seed: number): number[] {
  const next = source(seed);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor((i + 1) * next());
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/**
 * Values that differ from each other and from 0 by at least `gap`, spread about 0 in random order: for operations that are not
 * smooth where values meet (max, sort, relu).
 */
export function distinct(shape: readonly number[], seed: number, gap = 0.01): Ref {
  const size = sizeOf(shape);
  return ref(
    shape,
    permutation(size, seed).map(i => gap * (2 * i - size + (size % 2 === 0 ? 1 : 0))),
  );
}
