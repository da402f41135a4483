/**
 * CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009) from either published layout:
 * the binary one (label bytes, then 3072 bytes of red, green and blue planes, per image) and the Python one (pickled dictionaries,
 * what torchvision leaves on disk). The row count comes from the files, so partial copies work.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FileError } from '../errors.ts';
import { fileError } from './files.ts';
import { latin1, type Pickled } from './pickle.ts';
import { ByteArray, unpickle } from './pickle-arrays.ts';
import { imageStatistics } from './statistics.ts';
import { type Augmentation, type DataSet, rows, type Split, validationCut } from './types.ts';

const PIXELS = 3 * 32 * 32;

/** One way a data set lies on disk. */
interface Layout {
  /** The folder's published name. */
  folder: string;
  train: string[];
  test: string;
  /** The file that names the classes. */
  names: string;
  read(path: string): Promise<Split>;
  readNames(path: string): Promise<string[]>;
}

interface Family {
  name: 'cifar10' | 'cifar100';
  title: string;
  classes: number;
  augment: Augmentation;
  /** The binary layout first: where both are there, it is the one read. */
  layouts: Layout[];
}

const BATCHES = [1, 2, 3, 4, 5].map(i => `data_batch_${i}`);

const CIFAR10: Family = {
  name: 'cifar10',
  title: 'CIFAR-10',
  classes: 10,
  augment: { crop: 4, flip: true, rotate: 0 },
  layouts: [
    binary('cifar-10-batches-bin', { train: BATCHES.map(b => `${b}.bin`), test: 'test_batch.bin', names: 'batches.meta.txt' }, 1),
    pickled('cifar-10-batches-py', { train: BATCHES, test: 'test_batch', names: 'batches.meta' }, 'labels', 'label_names'),
  ],
};

const CIFAR100: Family = {
  name: 'cifar100',
  title: 'CIFAR-100',
  classes: 100,
  augment: { crop: 4, flip: true, rotate: 15 },
  layouts: [
    binary('cifar-100-binary', { train: ['train.bin'], test: 'test.bin', names: 'fine_label_names.txt' }, 2),
    pickled('cifar-100-python', { train: ['train'], test: 'test', names: 'meta' }, 'fine_labels', 'fine_label_names'),
  ],
};

/**
 * Reads CIFAR-10.
 * @param data the folder that holds `cifar-10-batches-bin` or `cifar-10-batches-py`, or one of these itself
 * @throws FileError naming the file, row and value that is wrong, or what is missing
 */
export const openCifar10 = (data: string): Promise<DataSet> => open(CIFAR10, data);

/** Reads CIFAR-100 with its fine labels; like `openCifar10`, for `cifar-100-binary` or `cifar-100-python`. */
export const openCifar100 = (data: string): Promise<DataSet> => open(CIFAR100, data);

async function open(family: Family, data: string): Promise<DataSet> {
  const { folder, layout } = await locate(family, data);
  const missing = [...layout.train, layout.test].filter(file => !existsSync(join(folder, file)));
  if (missing.length > 0) throw new FileError(`${folder}: ${missing.join(', ')} missing; ${family.title} is incomplete there`);
  const read = async (file: string) => checkLabels(await layout.read(join(folder, file)), join(folder, file), family.classes);
  const batches: Split[] = [];
  for (const file of layout.train) batches.push(await read(file));
  const all = concatenate(batches);
  const cut = validationCut(all.count, folder);
  const test = await read(layout.test);
  const names = join(folder, layout.names);
  const classes = existsSync(names)
    ? await layout.readNames(names)
    : Array.from({ length: family.classes }, (_, k) => `class ${k}`);
  if (classes.length !== family.classes)
    throw new FileError(`${names}: ${classes.length} class names, expected ${family.classes}`);
  return {
    name: family.name,
    classes,
    ...imageStatistics[family.name],
    augment: family.augment,
    train: rows(all, 0, cut),
    val: rows(all, cut, all.count),
    test,
  };
}

/** What to do about data that are not there. */
const fetched = ({ name }: Family) => `\`sparrow data fetch ${name}\` downloads it`;

/** Finds which layout `data` holds or is. */
async function locate(family: Family, data: string): Promise<{ folder: string; layout: Layout }> {
  const found = await readdir(data).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new FileError(`data folder ${data} does not exist; ${fetched(family)}`);
    if (error.code === 'ENOTDIR') throw new FileError(`${data} is a file; --data names the folder of the data`);
    throw new FileError(`data folder ${data} cannot be read: ${error.message}`);
  });
  for (const layout of family.layouts) {
    if (found.includes(layout.folder)) return { folder: join(data, layout.folder), layout };
    const files = [...layout.train, layout.test];
    for (const name of files) if (await isFile(join(data, name))) return { folder: data, layout };
  }
  const wanted = family.layouts.map(layout => layout.folder).join(' or ');
  const state = found.length === 0 ? 'is empty' : 'holds neither';
  throw new FileError(`data folder ${data} ${state}: expected ${wanted}; ${fetched(family)}`);
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    found => found.isFile(),
    () => false,
  );

/** A layout of fixed-size records. The label is the last of `labelBytes`: CIFAR-100 has coarse, then fine. */
function binary(folder: string, files: Pick<Layout, 'train' | 'test' | 'names'>, labelBytes: number): Layout {
  const record = labelBytes + PIXELS;
  return {
    folder,
    ...files,
    async read(path) {
      const bytes = await readBytes(path);
      if (bytes.length === 0) throw new FileError(`${path}: empty`);
      if (bytes.length % record !== 0) {
        throw new FileError(
          `${path}: truncated: ${bytes.length} bytes are no whole number of ${record}-byte rows; fetch it again`,
        );
      }
      const count = bytes.length / record;
      const images = new Uint8Array(count * PIXELS);
      const labels = new Int32Array(count);
      for (let i = 0; i < count; i++) {
        const pixels = i * record + labelBytes;
        labels[i] = bytes[pixels - 1];
        images.set(bytes.subarray(pixels, pixels + PIXELS), i * PIXELS);
      }
      return { images, labels, count };
    },
    async readNames(path) {
      return Buffer.from(await readBytes(path))
        .toString('utf8')
        .split('\n')
        .map(line => line.trim())
        .filter(line => line !== '');
    },
  };
}

/** A layout of pickled dictionaries with `data` `[N, 3072]` uint8 and a list of labels. */
function pickled(folder: string, files: Pick<Layout, 'train' | 'test' | 'names'>, labelKey: string, namesKey: string): Layout {
  const entry = async (path: string, key: string): Promise<[Pickled | undefined, Map<string, Pickled>]> => {
    const root = unpickle(await readBytes(path), path);
    if (!(root instanceof Map)) throw new FileError(`${path}: holds no dictionary`);
    return [root.get(key), root];
  };
  return {
    folder,
    ...files,
    async read(path) {
      const [labels, root] = await entry(path, labelKey);
      const data = root.get('data');
      if (!(data instanceof ByteArray) || data.shape.length !== 2 || data.shape[1] !== PIXELS) {
        throw new FileError(`${path}: 'data' is no uint8 array of shape [N, ${PIXELS}]`);
      }
      if (!Array.isArray(labels)) throw new FileError(`${path}: '${labelKey}' is no list`);
      const count = data.shape[0];
      if (count === 0) throw new FileError(`${path}: empty`);
      if (labels.length !== count) throw new FileError(`${path}: ${count} images but ${labels.length} labels`);
      const row = labels.findIndex(label => typeof label !== 'number');
      if (row >= 0) throw new FileError(`${path}: row ${row}: its label is no number`);
      return { images: data.data, labels: Int32Array.from(labels as number[]), count };
    },
    async readNames(path) {
      const [names] = await entry(path, namesKey);
      if (!Array.isArray(names)) throw new FileError(`${path}: '${namesKey}' is no list`);
      return names.map(name => latin1(name) ?? String(name));
    },
  };
}

function readBytes(path: string): Promise<Uint8Array> {
  return readFile(path).catch(error => {
    throw fileError('read', path, error);
  });
}

function checkLabels(split: Split, path: string, classes: number): Split {
  const row = split.labels.findIndex(label => label < 0 || label >= classes);
  if (row >= 0)
    throw new FileError(
      `${path}: row ${row} has label ${split.labels[row]}, outside 0..${classes - 1}; the file is damaged or of another data set`,
    );
  return split;
}

function concatenate(splits: Split[]): Split {
  if (splits.length === 1) return splits[0];
  const count = splits.reduce((sum, split) => sum + split.count, 0);
  const all: Split = { images: new Uint8Array(count * PIXELS), labels: new Int32Array(count), count };
  let at = 0;
  for (const split of splits) {
    all.images.set(split.images, at * PIXELS);
    all.labels.set(split.labels, at);
    at += split.count;
  }
  return all;
}
