/** Draws from Philox on the device (random.wgsl), and permutations by sorting random words (sort.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** Key words and counter words of a draw, as `Random.next` gives them. */
export interface Draw {
  k0: number;
  k1: number;
  c1: number;
  c2: number;
  c3: number;
}

const KINDS = { words: 0, uniform: 1, normal: 2 } as const;

/**
 * y [size] = random words, uniforms in [a, b), or normals of mean a and deviation b.
 * @param step a uint32 [1] added to the counter: lets a captured step draw anew at each replay; absent for 0
 */
export function randomFill(
  device: Device,
  kind: keyof typeof KINDS,
  y: Storage,
  size: number,
  draw: Draw,
  a = 0,
  b = 1,
  step?: Storage,
): void {
  device.dispatch(
    program('random', 'rw', { KIND: KINDS[kind] }),
    [step ?? device.constant(new Uint32Array([0])), y],
    uniform().uint(size, draw.k0, draw.k1, draw.c1, draw.c2, draw.c3).float(a, b),
    gridFor(Math.ceil(size / 4), 64),
  );
}

/** order [size2] (size2 a power of two) = the indices 0..size-1 by rising key, ties by index; the rest of it is padding. */
export function sortIndices(device: Device, keys: Storage, order: Storage, size: number, size2: number): void {
  device.dispatch(program('sort', 'rw', { STAGE: 0 }), [keys, order], uniform().uint(size, size2), gridFor(size2, 64));
  for (let width = 2; width <= size2; width *= 2) {
    for (let step = width / 2; step >= 1; step /= 2) {
      device.dispatch(
        program('sort', 'rw', { STAGE: 1 }),
        [keys, order],
        uniform().uint(size, size2, width, step),
        gridFor(size2 / 2, 64),
      );
    }
  }
}
