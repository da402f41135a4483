/**
 * Any images of one size, by class: `train/CLASS/...` and `test/CLASS/...`. With `val/CLASS/...` beside both these are the validation rows; a
 * `val` without `test` is taken for the test set. Otherwise a tenth of the training images, by the fixed permutation, is for validation.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../errors.ts';
import { classNames, listByFolder } from './images/listing.ts';
import { channelStatistics, type ImageOptions, readSplit } from './images/split.ts';
import { type DataSet, rows, validationCut } from './types.ts';

/**
 * Reads a folder of JPEG and PNG files. Channels are normalised by the mean and deviation of the training rows.
 * @throws FileError naming the folder or file that is missing, damaged or of another size
 */
export async function openImageFolder(data: string, options: ImageOptions = {}): Promise<DataSet> {
  const has = (name: string) => existsSync(join(data, name));
  if (!has('train') || !(has('test') || has('val'))) {
    const missing = has('train') ? 'test (or val)' : 'train';
    throw new FileError(`data folder ${data}: no folder ${missing} there; expected train/CLASS/IMAGES and test/CLASS/IMAGES`);
  }
  const classes = classNames(join(data, 'train'));
  const read = (name: string, size?: readonly [number, number]) =>
    readSplit(listByFolder(join(data, name), classes), name, size, options);
  const all = await read('train');
  const test = await read(has('test') ? 'test' : 'val', all.size);
  const given = has('test') && has('val') ? await read('val', all.size) : undefined;
  const cut = given ? all.count : validationCut(all.count, data);
  const train = rows(all, 0, cut);
  return {
    name: 'folder',
    classes,
    shape: [3, ...all.size],
    ...channelStatistics(train),
    augment: { crop: 4, flip: true, rotate: 0 },
    train,
    val: given ?? rows(all, cut, all.count),
    test,
  };
}
