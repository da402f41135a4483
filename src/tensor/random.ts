/** Random tensors from a `Random` stream: words and uniforms have the same bits as on the CPU, normals agree to rounding. */
import type { Device } from '../device/index.ts';
import { randomFill, sortIndices } from '../kernels/random.ts';
import type { Random } from './philox.ts';
import { empty, type Shape, slice1, Tensor } from './tensor.ts';

export interface RandomOptions {
  /** uint32 [1] added to the counter: raised between replays, it has a captured step draw anew. Without it every replay repeats the draw. */
  step?: Tensor | undefined;
}

/**
 * A `step` that counts the replays of the step that is being captured, from 0, and undefined outside of one: for draws that are to differ from replay to
 * replay, and need not come again when the step is captured anew.
 */
export function replayNumber(device: Device): Tensor | undefined {
  const storage = device.replayNumber();
  return storage && new Tensor(device, storage, [1], 'u32');
}

/** Uniform in [lo, hi). */
export function randomUniform(
  device: Device,
  shape: Shape,
  random: Random,
  lo = 0,
  hi = 1,
  { step }: RandomOptions = {},
): Tensor {
  const y = empty(device, shape);
  randomFill(device, 'uniform', y.storage, y.size, random.next(), lo, hi, step?.storage);
  return y;
}

/** Normal, by the Box-Muller transform. */
export function randomNormal(
  device: Device,
  shape: Shape,
  random: Random,
  mean = 0,
  deviation = 1,
  { step }: RandomOptions = {},
): Tensor {
  const y = empty(device, shape);
  randomFill(device, 'normal', y.storage, y.size, random.next(), mean, deviation, step?.storage);
  return y;
}

/** uint32 words. */
export function randomWords(device: Device, shape: Shape, random: Random, { step }: RandomOptions = {}): Tensor {
  const y = empty(device, shape, 'u32');
  randomFill(device, 'words', y.storage, y.size, random.next(), 0, 1, step?.storage);
  return y;
}

/** A permutation of 0..n-1, uint32 [n]: the same as `Random.permutation(n)`. */
export function randomPermutation(device: Device, n: number, random: Random, options?: RandomOptions): Tensor {
  const padded = 2 ** Math.ceil(Math.log2(Math.max(2, n)));
  const keys = randomWords(device, [n], random, options);
  const order = empty(device, [padded], 'u32');
  sortIndices(device, keys.storage, order.storage, n, padded);
  const y = slice1(order, n);
  keys.dispose();
  return y;
}
