/** CIFAR-10 and CIFAR-100 from folders in the published formats, and every way in which such a folder can be wrong. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCifar10, openCifar100 } from '../../src/data/cifar.ts';
import type { Split } from '../../src/data/types.ts';
import { FileError } from '../../src/errors.ts';
import {
  CLASSES,
  FINE,
  image,
  label,
  PIXELS,
  writeCifar10Binary,
  writeCifar10Python,
  writeCifar100Binary,
  writeCifar100Python,
} from './cifar-writer.ts';
import { array2, pickle2 } from './pickle-writer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-cifar-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The split holds rows `from`, `from + 1`, ... of the written ones, `count` of them. */
function expectRows(split: Split, from: number, count: number, classes: number): void {
  expect(split.count).toBe(count);
  expect(split.images.length).toBe(count * PIXELS);
  expect([...split.labels]).toEqual(Array.from({ length: count }, (_, i) => label(from + i, classes)));
  for (let i = 0; i < count; i++) {
    expect(Buffer.compare(split.images.subarray(i * PIXELS, (i + 1) * PIXELS), image(from + i)), `row ${i}`).toBe(0);
  }
}

/** Opening fails with one line that matches. */
async function expectError(opening: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await opening.then(
    () => undefined,
    (e: Error) => e,
  );
  expect(error).toBeInstanceOf(FileError);
  expect(error!.message).toMatch(message);
  expect(error!.message).not.toContain('\n');
}

describe('CIFAR-10', () => {
  for (const [layout, write] of [
    ['binary', writeCifar10Binary],
    ['Python', writeCifar10Python],
  ] as const) {
    it(`reads the ${layout} layout from the folder around it and from the folder itself`, async () => {
      const own = write(folder, 5);
      for (const path of [folder, own]) {
        const set = await openCifar10(path);
        expectRows(set.train, 0, 22, 10);
        expectRows(set.val, 22, 3, 10);
        expectRows(set.test, 25, 5, 10);
        expect(set.classes).toEqual(CLASSES);
        expect(set.shape).toEqual([3, 32, 32]);
      }
    });
  }

  it('splits without copying', async () => {
    writeCifar10Binary(folder, 4);
    const set = await openCifar10(folder);
    expect(set.train.images.buffer).toBe(set.val.images.buffer);
    expect(set.train.labels.buffer).toBe(set.val.labels.buffer);
  });

  it('takes batches of different sizes', async () => {
    const own = writeCifar10Binary(folder, 4);
    truncateSync(join(own, 'data_batch_5.bin'), 2 * (PIXELS + 1));
    const set = await openCifar10(folder);
    expectRows(set.train, 0, 16, 10);
    expectRows(set.val, 16, 2, 10);
  });

  it('numbers the classes where their names are not there', async () => {
    const own = writeCifar10Binary(folder, 2);
    rmSync(join(own, 'batches.meta.txt'));
    expect((await openCifar10(folder)).classes[9]).toBe('class 9');
  });

  it('says what is wrong with the folder', async () => {
    await expectError(
      openCifar10(join(folder, 'none')),
      /^data folder .*none does not exist; `sparrow data fetch cifar10` downloads it$/,
    );
    await expectError(
      openCifar10(folder),
      /is empty: expected cifar-10-batches-bin or cifar-10-batches-py; `sparrow data fetch cifar10`/,
    );
    writeFileSync(join(folder, 'notes.txt'), 'x');
    await expectError(openCifar10(folder), /holds neither: expected cifar-10-batches-bin/);
    await expectError(openCifar10(join(folder, 'notes.txt')), /notes\.txt is a file; --data names the folder/);
    mkdirSync(join(folder, 'cifar-10-batches-bin'));
    await expectError(openCifar10(folder), /data_batch_1\.bin, .*test_batch\.bin missing/);
  });

  it('names a missing batch', async () => {
    const own = writeCifar10Python(folder, 2);
    rmSync(join(own, 'data_batch_3'));
    await expectError(openCifar10(folder), /cifar-10-batches-py: data_batch_3 missing; CIFAR-10 is incomplete there/);
  });

  it('names a batch that is a folder', async () => {
    const batch = join(writeCifar10Binary(folder, 2), 'data_batch_1.bin');
    rmSync(batch);
    mkdirSync(batch);
    await expectError(openCifar10(folder), /^cannot read .*data_batch_1\.bin: it is a folder, not a file$/);
  });

  it('names a truncated and an empty batch', async () => {
    const own = writeCifar10Binary(folder, 3);
    truncateSync(join(own, 'data_batch_2.bin'), 5000);
    await expectError(openCifar10(folder), /data_batch_2\.bin: truncated: 5000 bytes are no whole number of 3073-byte rows/);
    truncateSync(join(own, 'data_batch_2.bin'), 0);
    await expectError(openCifar10(folder), /data_batch_2\.bin: empty/);
    const python = join(folder, 'python');
    truncateSync(join(writeCifar10Python(python, 3), 'test_batch'), 700);
    await expectError(openCifar10(python), /test_batch: truncated after 700 bytes/);
  });

  it('names file, row and value of a label out of range', async () => {
    const own = writeCifar10Binary(folder, 3);
    const path = join(own, 'test_batch.bin');
    const bytes = readFileSync(path);
    bytes[2 * (PIXELS + 1)] = 10;
    writeFileSync(path, bytes);
    await expectError(openCifar10(folder), /test_batch\.bin: row 2 has label 10, outside 0\.\.9/);
    const python = join(folder, 'python');
    const batch = pickle2({ labels: [1, -1], data: array2([2, PIXELS], new Uint8Array(2 * PIXELS)) });
    writeFileSync(join(writeCifar10Python(python, 2), 'data_batch_4'), batch);
    await expectError(openCifar10(python), /data_batch_4: row 1 has label -1, outside 0\.\.9/);
  });

  it('refuses pickles of another content', async () => {
    const own = writeCifar10Python(folder, 2);
    const batch = join(own, 'data_batch_1');
    const data = array2([2, PIXELS], new Uint8Array(2 * PIXELS));
    const cases: [Buffer, RegExp][] = [
      [pickle2({ labels: [1], data }), /data_batch_1: 2 images but 1 labels/],
      [pickle2({ fine_labels: [1, 2], data }), /data_batch_1: 'labels' is no list/],
      [pickle2({ labels: [1, 'two'], data }), /data_batch_1: row 1: its label is no number/],
      [pickle2({ labels: [], data: array2([0, PIXELS], new Uint8Array()) }), /data_batch_1: empty/],
      [
        pickle2({ labels: [1, 2], data: array2([2, 8], new Uint8Array(16)) }),
        /data_batch_1: 'data' is no uint8 array of shape \[N, 3072\]/,
      ],
    ];
    for (const [bytes, message] of cases) {
      writeFileSync(batch, bytes);
      await expectError(openCifar10(folder), message);
    }
  });

  it('refuses a wrong number of class names', async () => {
    const own = writeCifar10Binary(folder, 2);
    writeFileSync(join(own, 'batches.meta.txt'), 'cat\ndog\n');
    await expectError(openCifar10(folder), /batches\.meta\.txt: 2 class names, expected 10/);
  });
});

describe('CIFAR-100', () => {
  for (const [layout, write] of [
    ['binary', writeCifar100Binary],
    ['Python', writeCifar100Python],
  ] as const) {
    it(`reads the fine labels of the ${layout} layout`, async () => {
      const own = write(folder, 21, 4);
      for (const path of [folder, own]) {
        const set = await openCifar100(path);
        expectRows(set.train, 0, 18, 100);
        expectRows(set.val, 18, 3, 100);
        expectRows(set.test, 21, 4, 100);
        expect(set.classes).toEqual(FINE);
        expect(set.augment).toEqual({ crop: 4, flip: true, rotate: 15 });
      }
    });
  }

  it('is not taken for CIFAR-10, nor the other way round', async () => {
    writeCifar100Binary(folder, 4, 2);
    await expectError(openCifar10(folder), /holds neither: expected cifar-10-batches-bin/);
    await expectError(openCifar100(join(folder, 'cifar-100-binary', 'train.bin')), /is a file/);
  });

  it('is not taken for a folder of images', async () => {
    mkdirSync(join(folder, 'elsewhere', 'cat'), { recursive: true });
    mkdirSync(join(folder, 'test', 'cat'), { recursive: true });
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'train'));
    await expectError(openCifar100(folder), /holds neither: expected cifar-100-binary or cifar-100-python/);
  });
});
