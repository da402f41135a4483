/** Small CIFAR folders in the published layouts, with rows whose every byte is known. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { array2, pickle2 } from './pickle-writer.ts';

export const PIXELS = 3072;
export const BATCHES = [1, 2, 3, 4, 5].map(i => `data_batch_${i}`);
export const CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];

/** Pixel i of the n-th row of all: told apart by row and by place. */
export const pixel = (n: number, i: number) => (31 * n + 7 * i) % 256;
export const image = (n: number) => Uint8Array.from({ length: PIXELS }, (_, i) => pixel(n, i));
/** The label of the n-th row of all. */
export const label = (n: number, classes: number) => (3 * n + 1) % classes;

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const images = (rows: number[]) => Buffer.concat(rows.map(image));

/** Writes `folder`/cifar-10-batches-bin with `rows` rows a batch, numbered through, test last; returns its path. */
export function writeCifar10Binary(folder: string, rows: number): string {
  const own = join(folder, 'cifar-10-batches-bin');
  mkdirSync(own, { recursive: true });
  [...BATCHES, 'test_batch'].forEach((name, b) => {
    const records = range(b * rows, rows).map(n => Buffer.concat([Buffer.of(label(n, 10)), image(n)]));
    writeFileSync(join(own, `${name}.bin`), Buffer.concat(records));
  });
  writeFileSync(join(own, 'batches.meta.txt'), `${CLASSES.join('\n')}\n\n`);
  return own;
}

/** The same rows as pickles in `folder`/cifar-10-batches-py. */
export function writeCifar10Python(folder: string, rows: number): string {
  const own = join(folder, 'cifar-10-batches-py');
  mkdirSync(own, { recursive: true });
  [...BATCHES, 'test_batch'].forEach((name, b) => {
    const numbers = range(b * rows, rows);
    const labels = numbers.map(n => label(n, 10));
    writeFileSync(join(own, name), pickle2({ labels, data: array2([rows, PIXELS], images(numbers)), batch_label: name }));
  });
  writeFileSync(join(own, 'batches.meta'), pickle2({ num_cases_per_batch: rows, label_names: CLASSES, num_vis: PIXELS }));
  return own;
}

export const FINE = Array.from({ length: 100 }, (_, k) => `fine ${k}`);

/** CIFAR-100's binary layout: coarse label 99 - fine, so that a swap shows. */
export function writeCifar100Binary(folder: string, train: number, test: number): string {
  const own = join(folder, 'cifar-100-binary');
  mkdirSync(own, { recursive: true });
  const records = (rows: number[]) =>
    Buffer.concat(rows.map(n => Buffer.concat([Buffer.of(99 - label(n, 100), label(n, 100)), image(n)])));
  writeFileSync(join(own, 'train.bin'), records(range(0, train)));
  writeFileSync(join(own, 'test.bin'), records(range(train, test)));
  writeFileSync(join(own, 'fine_label_names.txt'), `${FINE.join('\n')}\n`);
  return own;
}

/** CIFAR-100's Python layout with the same rows. */
export function writeCifar100Python(folder: string, train: number, test: number): string {
  const own = join(folder, 'cifar-100-python');
  mkdirSync(own, { recursive: true });
  const file = (rows: number[]) => {
    const fine = rows.map(n => label(n, 100));
    return pickle2({
      filenames: rows.map(n => `image_${n}.png`),
      fine_labels: fine,
      coarse_labels: fine.map(k => 99 - k),
      data: array2([rows.length, PIXELS], images(rows)),
    });
  };
  writeFileSync(join(own, 'train'), file(range(0, train)));
  writeFileSync(join(own, 'test'), file(range(train, test)));
  writeFileSync(join(own, 'meta'), pickle2({ fine_label_names: FINE, coarse_label_names: ['x'] }));
  return own;
}
