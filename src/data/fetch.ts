/**
 * Fetching and verifying published data sets: where they are, what they weigh, and what their checksums are. The sums of archives
 * are those of https://www.cs.toronto.edu/~kriz/cifar.html; those of the Python layout's files are the ones that torchvision checks.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as tar from 'tar';
import { FileError, UsageError } from '../errors.ts';
import { type DownloadOptions, download, md5 } from './download.ts';
import { openDataSet } from './index.ts';

export type { Progress } from './download.ts';

/** One layout of a published data set: its folder and the MD5 of every file in it that is read. */
export interface PublishedLayout {
  folder: string;
  files: Record<string, string>;
}

export interface Source {
  /** Where `archive` is, without the slash at the end. */
  baseUrl: string;
  /** A gzipped tar file that holds the first layout's folder. */
  archive: string;
  md5: string;
  /** Row counts, training and validation together. */
  rows: { train: number; test: number };
  layouts: [PublishedLayout, ...PublishedLayout[]];
}

const TORONTO = 'https://www.cs.toronto.edu/~kriz';

/** The published data sets that can be fetched. */
export const SOURCES: Record<string, Source> = {
  cifar10: {
    baseUrl: TORONTO,
    archive: 'cifar-10-binary.tar.gz',
    md5: 'c32a1d4ab5d03f1284b67883e8d87530',
    rows: { train: 50_000, test: 10_000 },
    layouts: [
      {
        folder: 'cifar-10-batches-bin',
        files: {
          'data_batch_1.bin': '5dd7e06a14cb22eb9f671a540d1b7c25',
          'data_batch_2.bin': '5ea93a67294ea407fff1d09f752e9692',
          'data_batch_3.bin': '942cd6a4bcdd0dd3c604fbe906cb4421',
          'data_batch_4.bin': 'ae636b3ba5c66a11e91e8cb52e771fcb',
          'data_batch_5.bin': '53f37980c15c3d472c316c40844f3f0d',
          'test_batch.bin': '803d5f7f4d78ea53de84dbe85f74fb6d',
        },
      },
      {
        folder: 'cifar-10-batches-py',
        files: {
          data_batch_1: 'c99cafc152244af753f735de768cd75f',
          data_batch_2: 'd4bba439e000b95fd0a9bffe97cbabec',
          data_batch_3: '54ebc095f3ab1f0389bbae665268c751',
          data_batch_4: '634d18415352ddfa80567beed471001a',
          data_batch_5: '482c414d41f54cd18b22e5b47cb7c3cb',
          test_batch: '40351d587109b95175f43aff81a1287e',
        },
      },
    ],
  },
  cifar100: {
    baseUrl: TORONTO,
    archive: 'cifar-100-binary.tar.gz',
    md5: '03b5dce01913d631647c71ecec9e9cb8',
    rows: { train: 50_000, test: 10_000 },
    layouts: [
      {
        folder: 'cifar-100-binary',
        files: { 'train.bin': '6172c7755cfe09b2fe270c85cebc1b15', 'test.bin': '4499cfba6c016c1be1438163640a0898' },
      },
      {
        folder: 'cifar-100-python',
        files: { train: '16019d7e3df5f24257cddd939b257f8d', test: 'f0ef6b0ae62326f3e7ffdfab6717acfc' },
      },
    ],
  },
};

export interface FetchOptions extends DownloadOptions {
  /** Another server's folder that holds the same archive. */
  baseUrl?: string;
  /** The table of data sets (SOURCES). */
  sources?: Record<string, Source>;
}

/**
 * Downloads a data set into `folder`, beside what is there. Its own folder appears when everything is right; an older one is
 * replaced then and not before. What is there already and verifies is not downloaded again.
 * @returns the data set's own folder, and whether it was downloaded
 * @throws UsageError for a name that cannot be fetched; FileError as `download` does, or if the archive cannot be unpacked
 */
export async function fetchDataSet(name: string, folder: string, options: FetchOptions = {}) {
  const source = sourceOf(name, options.sources);
  const [layout] = source.layouts;
  const target = join(folder, layout.folder);
  if (existsSync(target) && (await isWhole(target, layout))) return { folder: target, downloaded: false };
  await mkdir(folder, { recursive: true }).catch(error => {
    throw new FileError(`${folder} cannot be made: ${error.message}`);
  });
  const archive = join(folder, source.archive);
  const baseUrl = (options.baseUrl ?? source.baseUrl).replace(/\/+$/, '');
  const kept = existsSync(archive) && (await md5(archive)) === source.md5;
  if (!kept) await download(`${baseUrl}/${source.archive}`, archive, source.md5, options);
  await unpack(archive, layout, target);
  await rm(archive);
  return { folder: target, downloaded: true };
}

/**
 * Checks that `folder` holds the published data set, whole: row counts, labels, then every file's checksum.
 * @returns the data set's own folder and its row counts
 * @throws FileError saying the first thing that is wrong; UsageError for a name that is not in the table
 */
export async function verifyDataSet(name: string, folder: string, options: Pick<FetchOptions, 'sources'> = {}) {
  const source = sourceOf(name, options.sources);
  const { train, val, test } = await openDataSet({ dataset: name, data: folder });
  const found = { train: train.count + val.count, test: test.count };
  for (const split of ['train', 'test'] as const) {
    if (found[split] !== source.rows[split]) {
      throw new FileError(`${folder}: ${name} has ${found[split]} ${split} rows there, the published set ${source.rows[split]}`);
    }
  }
  const places = source.layouts.flatMap(({ folder: name, files }) => [join(folder, name), folder].map(own => ({ own, files })));
  const { own, files } = places.find(place => Object.keys(place.files).every(file => existsSync(join(place.own, file))))!;
  for (const [file, sum] of Object.entries(files)) {
    const seen = await md5(join(own, file));
    if (seen !== sum) throw new FileError(`${join(own, file)}: wrong checksum ${seen}, the published file has ${sum}`);
  }
  return { folder: own, rows: found };
}

function sourceOf(name: string, sources = SOURCES): Source {
  if (Object.hasOwn(sources, name)) return sources[name];
  throw new UsageError(`'${name}' is no data set to fetch: ${Object.keys(sources).join(', ')} are`);
}

async function isWhole(folder: string, layout: PublishedLayout): Promise<boolean> {
  for (const [file, sum] of Object.entries(layout.files)) {
    if (!existsSync(join(folder, file)) || (await md5(join(folder, file))) !== sum) return false;
  }
  return true;
}

/** Unpacks the layout's folder beside `target`, then puts it in its place. */
async function unpack(archive: string, layout: PublishedLayout, target: string): Promise<void> {
  const room = await mkdtemp(`${target}.unpack-`);
  const fresh = join(room, layout.folder);
  const old = join(room, 'old');
  try {
    await tar.extract({ file: archive, cwd: room, strict: true }, [layout.folder]);
    const missing = Object.keys(layout.files).filter(file => !existsSync(join(fresh, file)));
    if (missing.length > 0) throw new Error(`${missing.join(', ')} not in its folder ${layout.folder}`);
    if (existsSync(target)) await rename(target, old);
    await rename(fresh, target);
  } catch (error) {
    if (existsSync(old)) await rename(old, target);
    throw new FileError(`${archive} cannot be unpacked: ${(error as Error).message}`);
  } finally {
    await rm(room, { recursive: true, force: true });
  }
}
