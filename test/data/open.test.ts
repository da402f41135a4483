/** Data sets by name, their limits, and the usage errors around them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { dataSetNames, openDataSet, publishedStatistics } from '../../src/data/index.ts';
import { UsageError } from '../../src/errors.ts';
import { writeCifar10Binary, writeCifar100Python } from './cifar-writer.ts';
import { png, put, rgb } from './image-writer.ts';
import { matFile, matrix } from './mat-writer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-open-'));
  vi.stubEnv('SPARROW_CACHE', join(folder, 'cache'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('openDataSet', () => {
  it('opens each set by its name', async () => {
    writeCifar10Binary(folder, 4);
    writeCifar100Python(folder, 20, 5);
    for (const file of ['train_32x32.mat', 'test_32x32.mat']) {
      const [x, y] = [Buffer.alloc(12 * 3072), Buffer.alloc(12, 1)];
      writeFileSync(join(folder, file), matFile(matrix('X', 9, [32, 32, 3, 12], 2, x), matrix('y', 6, [12, 1], 2, y)));
    }
    for (const split of ['train', 'test', 'training', 'validation'])
      for (let i = 0; i < 12; i++) put(join(folder, split, i % 2 ? 'a' : 'b', `${i}.png`), png(rgb(64, i), 64));
    for (const dataset of dataSetNames) {
      const set = await openDataSet({ dataset, data: folder, limit: 10, evalLimit: 2 });
      expect(set.name).toBe(dataset);
      expect([set.train.count, set.test.count]).toEqual([10, 2]);
      const { shape, mean, std } = set;
      expect(publishedStatistics(dataset) ?? { shape: [3, 64, 64], mean, std }).toEqual({ shape, mean, std });
      expect(set.train.images.length).toBe(10 * set.shape[0] * set.shape[1] * set.shape[2]);
    }
  });

  it('cuts training by limit, validation and test by evalLimit, to the first samples and without copying', async () => {
    writeCifar10Binary(folder, 20);
    const whole = await openDataSet({ dataset: 'cifar10', data: folder });
    expect([whole.train.count, whole.val.count, whole.test.count]).toEqual([90, 10, 20]);
    const cut = await openDataSet({ dataset: 'cifar10', data: folder, limit: 7, evalLimit: 15 });
    expect([cut.train.count, cut.val.count, cut.test.count]).toEqual([7, 10, 15]);
    expect(cut.train.images).toEqual(whole.train.images.subarray(0, 7 * 3072));
    expect(cut.train.labels).toEqual(whole.train.labels.subarray(0, 7));
    expect(cut.test.images).toEqual(whole.test.images.subarray(0, 15 * 3072));
    expect(cut.train.images.buffer).toBe(cut.val.images.buffer);
  });

  it('renders shapes of the seed asked for, no more than the limits', async () => {
    const a = await openDataSet({ dataset: 'shapes', seed: 3, limit: 5, evalLimit: 4 });
    const b = await openDataSet({ dataset: 'shapes', seed: 3, limit: 9, evalLimit: 4 });
    expect([a.train.count, a.val.count, a.test.count]).toEqual([5, 4, 4]);
    expect(a.train.images).toEqual(b.train.images.subarray(0, a.train.images.length));
  });

  it('lists the names for an unknown one', async () => {
    for (const dataset of ['imagenet', 'toString', '']) {
      await expect(openDataSet({ dataset })).rejects.toThrow(
        new UsageError(`unknown data set '${dataset}': --dataset takes cifar10, cifar100, svhn, tinyimagenet, folder, shapes`),
      );
    }
  });

  it('asks for the folder and for sensible limits', async () => {
    const opening = openDataSet({ dataset: 'cifar100' });
    await expect(opening).rejects.toThrow(UsageError);
    await expect(opening).rejects.toThrow(
      '--data is missing: cifar100 needs the folder of its files (`sparrow data fetch cifar100`)',
    );
    for (const limit of [0, -1, 1.5, Number.NaN]) {
      await expect(openDataSet({ dataset: 'shapes', limit })).rejects.toThrow(
        `--limit takes a positive whole number, not ${limit}`,
      );
      await expect(openDataSet({ dataset: 'shapes', evalLimit: limit })).rejects.toThrow(UsageError);
    }
  });
});
