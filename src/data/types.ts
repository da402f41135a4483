/**
 * What every data set is to the rest of the program: bytes and labels in three splits, and how to normalise and augment them.
 */

import { FileError } from '../errors.ts';

/** Images and labels of one split. The arrays may be views into larger ones. */
export interface Split {
  /** Pixels 0..255, `[N, C, H, W]`. */
  readonly images: Uint8Array;
  /** Class indices, `[N]`. */
  readonly labels: Int32Array;
  /** N. */
  readonly count: number;
}

/** Training-time augmentation, drawn per sample. */
export interface Augmentation {
  /** Zero padding in pixels before a random crop of the original size; 0 = no crop. */
  readonly crop: number;
  /** Horizontal flip with probability 1/2. */
  readonly flip: boolean;
  /** Rotation drawn uniformly from ± this many degrees; 0 = none. */
  readonly rotate: number;
}

/** Whom reading a data set tells how far it is, and what it left out. */
export interface DataHooks {
  onProgress?(progress: { readonly label: string; readonly done: number; readonly total: number }): void;
  onNotice?(line: string): void;
}

/** A data set as training and evaluation use it. Validation picks the best checkpoint; test is only reported. */
export interface DataSet {
  readonly name: string;
  /** Class names; their number is K. */
  readonly classes: readonly string[];
  /** `[C, H, W]` of one image. */
  readonly shape: readonly [number, number, number];
  /** Channel means of pixels in [0, 1], `[C]`; normalisation is a layer inside the model. */
  readonly mean: readonly number[];
  /** Channel standard deviations of pixels in [0, 1], `[C]`. */
  readonly std: readonly number[];
  readonly augment: Augmentation;
  readonly train: Split;
  readonly val: Split;
  readonly test: Split;
}

/** The first `limit` samples of a split, without copying; the whole split when `limit` is absent or larger. */
export function firstOf(split: Split, limit: number | undefined): Split {
  const count = Math.min(limit ?? split.count, split.count);
  return count === split.count ? split : rows(split, 0, count);
}

/** How many of the training rows stay training: the first nine tenths. @throws FileError for too few rows to split */
export function validationCut(count: number, folder: string): number {
  if (count < 2) throw new FileError(`${folder}: a single training row cannot be split into training and validation`);
  return Math.floor((count * 9) / 10);
}

/** Samples `from` (included) to `to` (excluded) of a split, as views. */
export function rows(split: Split, from: number, to: number): Split {
  const size = split.images.length / split.count;
  return {
    images: split.images.subarray(from * size, to * size),
    labels: split.labels.subarray(from, to),
    count: to - from,
  };
}
