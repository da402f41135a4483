/**
 * SVHN, cropped digits (Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011): `train_32x32.mat` and
 * `test_32x32.mat`, each with X uint8 [32, 32, 3, N] and y [N, 1], whose label 10 means the digit 0. The row count comes from the files.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../errors.ts';
import { readFileBytes } from './files.ts';
import { parseMat } from './mat.ts';
import { imageStatistics } from './statistics.ts';
import { type DataSet, rows, type Split, validationCut } from './types.ts';

const SIZE = 32;
const PIXELS = SIZE * SIZE;

/** The files of the two splits, as published. */
export const svhnFiles = { train: 'train_32x32.mat', test: 'test_32x32.mat' } as const;

/**
 * Reads SVHN. Digits are not flipped in training: 2 and 5, 6 and 9 would come to look alike.
 * @param data the folder that holds the two files, or a folder `svhn` with them
 * @throws FileError naming what is missing or wrong
 */
export function openSvhn(data: string): DataSet {
  const inner = join(data, 'svhn');
  const folder = existsSync(join(inner, svhnFiles.train)) ? inner : data;
  const missing = Object.values(svhnFiles).filter(file => !existsSync(join(folder, file)));
  if (missing.length > 0)
    throw new FileError(`data folder ${folder}: ${missing.join(', ')} missing; \`sparrow data fetch svhn\` downloads SVHN`);
  const all = read(join(folder, svhnFiles.train));
  const cut = validationCut(all.count, folder);
  return {
    name: 'svhn',
    classes: Array.from({ length: 10 }, (_, digit) => String(digit)),
    ...imageStatistics.svhn,
    augment: { crop: 4, flip: false, rotate: 0 },
    train: rows(all, 0, cut),
    val: rows(all, cut, all.count),
    test: read(join(folder, svhnFiles.test)),
  };
}

function read(path: string): Split {
  const arrays = parseMat(readFileBytes(path), path);
  const [x, y] = [arrays.get('X'), arrays.get('y')];
  if (!x || !y) throw new FileError(`${path}: array '${x ? 'y' : 'X'}' is missing`);
  const [h, w, c, count = 1] = x.shape; // a trailing dimension of 1 is not stored
  if (!(x.data instanceof Uint8Array) || h !== SIZE || w !== SIZE || c !== 3)
    throw new FileError(`${path}: 'X' is no uint8 array of shape [32, 32, 3, N] but [${x.shape}]`);
  if (y.data.length !== count) throw new FileError(`${path}: ${count} images but ${y.data.length} labels`);
  const row = y.data.findIndex((label: number) => !(Number.isInteger(label) && label >= 1 && label <= 10));
  if (row >= 0) throw new FileError(`${path}: row ${row} has label ${y.data[row]}, outside 1..10`);
  return { images: rowMajor(x.data), labels: Int32Array.from(y.data, label => label % 10), count };
}

/** [N, C, H, W] with W fastest from columns-first planes, of which the file has the same order. */
function rowMajor(planes: Uint8Array): Uint8Array {
  const out = new Uint8Array(planes.length);
  for (let base = 0; base < out.length; base += PIXELS) {
    for (let y = 0; y < SIZE; y++) for (let x = 0; x < SIZE; x++) out[base + y * SIZE + x] = planes[base + x * SIZE + y];
  }
  return out;
}
