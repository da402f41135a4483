/**
 * Tiny-ImageNet-200 (Le and Yang, "Tiny ImageNet Visual Recognition Challenge", 2015) in either folder layout in use: that of the published
 * archive, `train/WNID/images/*.JPEG` and `val/images/*.JPEG` with `val_annotations.txt`; and `training/WNID/...`, `validation/WNID/...`.
 * A tenth of the training images, by the fixed permutation, is for validation; the published validation images are the test set.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../errors.ts';
import { readFileText } from './files.ts';
import { classNames, type Listing, listByFolder, listByLines } from './images/listing.ts';
import { type ImageOptions, readSplit } from './images/split.ts';
import { imageStatistics } from './statistics.ts';
import { type DataSet, rows, validationCut } from './types.ts';

/** The folder that the published archive holds. */
export const tinyImageNetFolder = 'tiny-imagenet-200';

/** Training and test images with their classes, from whichever layout lies in `data` or in its `tiny-imagenet-200`. */
export function listTinyImageNet(data: string): { folder: string; classes: string[]; train: Listing; test: Listing } {
  const inner = join(data, tinyImageNetFolder);
  const folder = existsSync(inner) ? inner : data;
  const [train, val] = existsSync(join(folder, 'training')) ? ['training', 'validation'] : ['train', 'val'];
  const missing = [train, val].filter(name => !existsSync(join(folder, name)));
  const advice = '`sparrow data fetch tinyimagenet` downloads it';
  if (missing.length > 0)
    throw new FileError(`data folder ${folder}: no folder ${missing.join(', ')} there; expected Tiny-ImageNet-200; ${advice}`);
  const classes = classNames(join(folder, train));
  const annotations = join(folder, val, 'val_annotations.txt');
  const images = join(folder, val, 'images');
  if (existsSync(images) && !existsSync(annotations)) throw new FileError(`${annotations} is missing; ${advice}`);
  const test = existsSync(annotations)
    ? listByLines(readFileText(annotations), annotations, images, classes)
    : listByFolder(join(folder, val), classes);
  return { folder, classes, train: listByFolder(join(folder, train), classes), test };
}

/** Images in the folder by split, without reading them. @throws FileError if files that the layout names are missing */
export function countTinyImageNet(folder: string): { train: number; test: number } {
  const { train, test } = listTinyImageNet(folder);
  return { train: train.files.length, test: test.files.length };
}

/** Reads Tiny-ImageNet-200, or a part of its classes. @throws FileError naming what is missing, damaged or of another size */
export async function openTinyImageNet(data: string, options: ImageOptions = {}): Promise<DataSet> {
  const { folder, classes, train, test } = listTinyImageNet(data);
  const all = await readSplit(train, 'train', [64, 64], options);
  const cut = validationCut(all.count, folder);
  return {
    name: 'tinyimagenet',
    classes: titles(join(folder, 'words.txt'), classes),
    ...imageStatistics.tinyimagenet,
    augment: { crop: 4, flip: true, rotate: 0 },
    train: rows(all, 0, cut),
    val: rows(all, cut, all.count),
    test: await readSplit(test, 'test', [64, 64], options),
  };
}

/** The first name of each WordNet number by the lines `WNID <tab> NAME, NAME` of a file; the number where it has none. */
function titles(path: string, wnids: readonly string[]): string[] {
  if (!existsSync(path)) return [...wnids];
  const lines = readFileText(path).split(/\r?\n/);
  const names = new Map(lines.map(line => line.split('\t') as [string, string | undefined]));
  return wnids.map(wnid => names.get(wnid)?.split(',')[0] ?? wnid);
}
