/** Splits of decoded images. What lies class by class is put into the order of the fixed permutation. */
import { fixedPermutation } from '../permutation.ts';
import type { DataHooks, Split } from '../types.ts';
import { decodeCached } from './cache.ts';
import type { DecodeOptions } from './decode.ts';
import type { Listing } from './listing.ts';

/** What `--skip-corrupt` says, and who is told of progress. */
export interface ImageOptions extends DataHooks {
  readonly skipCorrupt?: boolean | undefined;
}

/**
 * Decodes a listing, and takes its rows in the order of the fixed permutation, so that the first N of them are of all classes.
 * @param label what progress calls it @param size the size that all images must have; by default that of the first
 */
export async function readSplit(
  { files, labels, unread }: Listing,
  label: string,
  size: DecodeOptions['size'],
  { skipCorrupt, onProgress, onNotice }: ImageOptions,
): Promise<Split & { readonly size: readonly [number, number] }> {
  if (unread?.size) {
    const count = [...unread.values()].reduce((a, b) => a + b);
    const formats = [...unread.keys()].sort().join(', ');
    onNotice?.(`${label}: ${count} image files are left out, since only JPEG and PNG are read (${formats})`);
  }
  const decoded = await decodeCached(files, {
    size,
    skipCorrupt,
    onNotice,
    onProgress: done => onProgress?.({ label: `decoding ${label}`, done, total: files.length }),
  });
  const { images, kept } = decoded;
  const skipped = files.length - kept.length;
  if (skipped > 0) onNotice?.(`${label}: ${skipped} of ${files.length} images are corrupt and left out (--skip-corrupt)`);
  const order = fixedPermutation(kept.length);
  const bytes = images.length / kept.length;
  const shuffled = new Uint8Array(images.length);
  order.forEach((from, to) => {
    shuffled.set(images.subarray(from * bytes, (from + 1) * bytes), to * bytes);
  });
  const ordered = Int32Array.from(order, from => labels[kept[from]]);
  return { images: shuffled, labels: ordered, count: kept.length, size: decoded.size };
}

/** Mean and deviation of each of three channels over all pixels of a split, in [0, 1]; a constant channel gets the deviation 1. */
export function channelStatistics({ images, count }: Split): { mean: number[]; std: number[] } {
  const plane = images.length / count / 3;
  const sums = [0, 0, 0];
  const squares = [0, 0, 0];
  for (let start = 0, p = 0; start < images.length; start += plane, p++) {
    for (let i = start; i < start + plane; i++) {
      sums[p % 3] += images[i];
      squares[p % 3] += images[i] * images[i];
    }
  }
  const n = count * plane;
  const mean = sums.map(sum => sum / n / 255);
  return { mean, std: squares.map((square, c) => Math.sqrt(Math.max(0, square / n / 255 ** 2 - mean[c] ** 2)) || 1) };
}
