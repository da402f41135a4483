/** Batches from a data set on the device, augmented per sample (batch.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

export interface BatchShape {
  n: number;
  c: number;
  h: number;
  w: number;
}

/** Per sample: shift by up to `crop` pixels, mirror with probability 1/2, rotate by up to ± `rotate` degrees. */
export interface Augmentation {
  crop: number;
  flip: boolean;
  rotate: number;
}

/**
 * images [n, c, h, w] in [0, 1] and labels [n] of the samples order[first[0]], order[first[0] + 1], ...
 * @param data the whole set as bytes @param words uint32 [4·n], random (unused without augmentation)
 */
export function batch(
  device: Device,
  source: { data: Storage; labels: Storage; order: Storage; first: Storage },
  words: Storage,
  images: Storage,
  labels: Storage,
  s: BatchShape,
  augment?: Augmentation,
): void {
  const size = s.n * s.c * s.h * s.w;
  device.dispatch(
    program('batch', 'rrrrrww', { AUGMENT: augment ? 1 : 0 }),
    [source.data, source.labels, source.order, source.first, words, images, labels],
    uniform()
      .uint(s.n, s.c, s.h, s.w, augment?.crop ?? 0, augment?.flip ? 1 : 0)
      .float(augment?.rotate ?? 0),
    gridFor(size, 64),
  );
}
