/**
 * Fetching and verifying published data sets: where they are, what they weigh, and what their checksums are. The sums of CIFAR's archives
 * are those of https://www.cs.toronto.edu/~kriz/cifar.html; those of its Python layout's files and of SVHN are the ones that torchvision
 * checks (datasets/cifar.py, datasets/svhn.py), that of Tiny-ImageNet the one that Avalanche checks (benchmarks/datasets/tiny_imagenet).
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import * as tar from 'tar';
import { FileError, UsageError } from '../errors.ts';
import { changing, type DownloadOptions, download, md5 } from './download.ts';
import { type DataHooks, dataSetAliases, openDataSet } from './index.ts';
import { lockFile } from './lock.ts';
import { svhnFiles } from './svhn.ts';
import { countTinyImageNet, tinyImageNetFolder } from './tiny-imagenet.ts';

export type { Progress } from './download.ts';

/**
 * One layout of a published data set: its folder and the MD5 of every file in it that is read, but for the class names of CIFAR's binary
 * layouts, whose sums nobody publishes.
 */
export interface PublishedLayout {
  folder: string;
  files: Record<string, string>;
  /** Rows in the folder, counted without reading them, where files have no checksums. @throws FileError if it is incomplete */
  count?: (folder: string) => Source['rows'];
}

export interface Source {
  /** Where the archive or the files are, without the slash at the end. */
  baseUrl: string;
  /** A gzipped tar or a zip file that holds the first layout's folder. Absent: that folder's files are published one by one. */
  archive?: { name: string; md5: string };
  /** Row counts, training and validation together. */
  rows: { train: number; test: number };
  layouts: [PublishedLayout, ...PublishedLayout[]];
}

const TORONTO = 'https://www.cs.toronto.edu/~kriz';

/** The published data sets that can be fetched. */
export const SOURCES: Record<string, Source> = {
  cifar10: {
    baseUrl: TORONTO,
    archive: { name: 'cifar-10-binary.tar.gz', md5: 'c32a1d4ab5d03f1284b67883e8d87530' },
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
          'batches.meta': '5ff9c542aee3614f3951f8cda6e48888',
        },
      },
    ],
  },
  cifar100: {
    baseUrl: TORONTO,
    archive: { name: 'cifar-100-binary.tar.gz', md5: '03b5dce01913d631647c71ecec9e9cb8' },
    rows: { train: 50_000, test: 10_000 },
    layouts: [
      {
        folder: 'cifar-100-binary',
        files: { 'train.bin': '6172c7755cfe09b2fe270c85cebc1b15', 'test.bin': '4499cfba6c016c1be1438163640a0898' },
      },
      {
        folder: 'cifar-100-python',
        files: {
          train: '16019d7e3df5f24257cddd939b257f8d',
          test: 'f0ef6b0ae62326f3e7ffdfab6717acfc',
          meta: '7973b15100ade9c7d40fb424638fde48',
        },
      },
    ],
  },
  svhn: {
    baseUrl: 'http://ufldl.stanford.edu/housenumbers',
    rows: { train: 73_257, test: 26_032 },
    layouts: [
      {
        folder: 'svhn',
        files: {
          [svhnFiles.train]: 'e26dedcc434d2e4c54c9b2d4a06d8373',
          [svhnFiles.test]: 'eb5a983be6a315427106f1b164d9cef3',
        },
      },
    ],
  },
  tinyimagenet: {
    baseUrl: 'http://cs231n.stanford.edu',
    archive: { name: `${tinyImageNetFolder}.zip`, md5: '90528d7ca1a48142e341f4ef8d21d0de' },
    rows: { train: 100_000, test: 10_000 },
    // no sums of its 110 000 files are published: they are counted, and `verify` decodes each of them
    layouts: [{ folder: tinyImageNetFolder, files: {}, count: countTinyImageNet }],
  },
};

export interface FetchOptions extends DownloadOptions {
  /** Another server's folder that holds the same archive. */
  baseUrl?: string;
  /** The table of data sets (SOURCES). */
  sources?: Record<string, Source>;
}

/** What came of fetching a data set. */
export interface Fetched {
  /** The data set's own folder. */
  folder: string;
  downloaded: boolean;
  /** Images that were there and only counted, neither read nor compared with checksums, since none are published. */
  counted?: number;
}

/**
 * Downloads a data set into `folder`, beside what is there. Its own folder appears when everything is right; an older one is
 * replaced then and not before. What is there already, in any layout, and verifies is not downloaded again. What an interrupted run
 * left is used or removed. One process at a time does this: it holds the lock file `OWN_FOLDER.lock`.
 * @throws UsageError for a name that cannot be fetched; FileError as `download` does, if the archive cannot be unpacked, or if
 * another process is fetching the same set
 */
export async function fetchDataSet(name: string, folder: string, options: FetchOptions = {}): Promise<Fetched> {
  const source = sourceOf(name, options.sources);
  const [layout] = source.layouts;
  const target = join(folder, layout.folder);
  const found = async (): Promise<Fetched | undefined> => {
    const there = source.layouts.find(({ folder: name }) => existsSync(join(folder, name))); // the one that is read
    if (!there || !(await isWhole(join(folder, there.folder), there, source.rows))) return undefined;
    const counted = there.count && { counted: source.rows.train + source.rows.test };
    return { folder: join(folder, there.folder), downloaded: false, ...counted };
  };
  const before = (await leftovers(target)).length === 0 ? await found() : undefined;
  if (before) return before;
  const own = source.archive ? folder : target;
  await mkdir(own, { recursive: true }).catch(error => {
    throw new FileError(`${own} cannot be made: ${error.message}`);
  });
  const release = lockFile(`${target}.lock`, `fetching ${canonical(name)} into ${folder}`);
  try {
    for (const room of await leftovers(target)) await clearRoom(room, target);
    const whole = await found();
    if (!whole) return await fetchLocked(source, folder, own, target, options);
    if (source.archive) await removeArchive(join(folder, source.archive.name)); // of a run that was killed after unpacking
    return whole;
  } finally {
    release();
  }
}

async function fetchLocked(source: Source, folder: string, own: string, target: string, options: FetchOptions): Promise<Fetched> {
  const [layout] = source.layouts;
  const baseUrl = (options.baseUrl ?? source.baseUrl).replace(/\/+$/, '');
  const files = source.archive ? [[source.archive.name, source.archive.md5]] : Object.entries(layout.files);
  for (const [file, sum] of files) {
    const path = join(own, file);
    const kept = existsSync(path) && (await md5(path)) === sum;
    if (!kept) await download(`${baseUrl}/${file}`, path, sum, options);
  }
  if (source.archive) {
    const archive = join(folder, source.archive.name);
    await unpack(archive, layout, target);
    await removeArchive(archive);
  }
  return { folder: target, downloaded: true };
}

const removeArchive = (path: string) => changing(path, rm(path, { force: true }));

/**
 * Checks that `folder` holds the published data set, whole: row counts, labels, then every file's checksum.
 * @returns the data set's own folder and its row counts
 * @throws FileError saying the first thing that is wrong; UsageError for a name that is not in the table
 */
export async function verifyDataSet(
  name: string,
  folder: string,
  options: Pick<FetchOptions, 'sources'> = {},
  hooks: DataHooks = {},
) {
  const source = sourceOf(name, options.sources);
  const { train, val, test } = await openDataSet({ dataset: canonical(name), data: folder }, hooks);
  const found = { train: train.count + val.count, test: test.count };
  for (const split of ['train', 'test'] as const) {
    if (found[split] !== source.rows[split]) {
      throw new FileError(`${folder}: ${name} has ${found[split]} ${split} rows there, the published set ${source.rows[split]}`);
    }
  }
  // a layout without checksums is whole where every row could be read
  const places = source.layouts.flatMap(({ folder: name, files }) => [join(folder, name), folder].map(own => ({ own, files })));
  const { own, files } = places.find(place => existsSync(join(place.own, Object.keys(place.files)[0] ?? '')))!;
  for (const [file, sum] of Object.entries(files)) {
    const seen = await md5(join(own, file));
    if (seen !== sum) throw new FileError(`${join(own, file)}: wrong checksum ${seen}, the published file has ${sum}`);
  }
  return { folder: own, rows: found };
}

const canonical = (name: string) => (Object.hasOwn(dataSetAliases, name) ? dataSetAliases[name] : name);

function sourceOf(name: string, sources = SOURCES): Source {
  if (Object.hasOwn(sources, canonical(name))) return sources[canonical(name)];
  throw new UsageError(`'${name}' is no data set to fetch: ${Object.keys(sources).join(', ')} are`);
}

async function isWhole(folder: string, layout: PublishedLayout, rows: Source['rows']): Promise<boolean> {
  if (layout.count && !holdsRows(folder, layout.count, rows)) return false;
  for (const [file, sum] of Object.entries(layout.files)) {
    if (!existsSync(join(folder, file)) || (await md5(join(folder, file))) !== sum) return false;
  }
  return true;
}

function holdsRows(folder: string, count: NonNullable<PublishedLayout['count']>, rows: Source['rows']): boolean {
  try {
    const { train, test } = count(folder);
    return train === rows.train && test === rows.test;
  } catch (error) {
    if (error instanceof FileError) return false;
    throw error;
  }
}

/** Where `unpack` works: folders beside `target`, of that name and this, and six random characters. */
const unpackRoom = '.unpack-';
/** In such a folder, what `target` was until the new one is in its place. */
const replaced = 'old';

/** Unpacks the layout's folder beside `target`, then puts it in its place. */
async function unpack(archive: string, layout: PublishedLayout, target: string): Promise<void> {
  const room = await changing(`${target}${unpackRoom}`, mkdtemp(`${target}${unpackRoom}`));
  const fresh = join(room, layout.folder);
  const old = join(room, replaced);
  try {
    if (archive.endsWith('.zip')) await unzip(archive, layout.folder, room);
    else await tar.extract({ file: archive, cwd: room, strict: true }, [layout.folder]);
    const missing = Object.keys(layout.files).filter(file => !existsSync(join(fresh, file)));
    if (missing.length > 0) throw new Error(`${missing.join(', ')} not in its folder ${layout.folder}`);
    if (existsSync(target)) await rename(target, old);
    await rename(fresh, target);
  } catch (error) {
    throw new FileError(`${archive} cannot be unpacked: ${(error as Error).message}`);
  } finally {
    await clearRoom(room, target);
  }
}

/** Removes a folder of `unpack`; where `target` was moved there and nothing took its place, it is put back. */
async function clearRoom(room: string, target: string): Promise<void> {
  const old = join(room, replaced);
  if (existsSync(old) && !existsSync(target)) await changing(target, rename(old, target));
  await changing(room, rm(room, { recursive: true, force: true }));
}

/** The folders of `unpack` beside `target`, which are those of killed processes to one that holds the lock. */
async function leftovers(target: string): Promise<string[]> {
  const names = await readdir(dirname(target)).catch(() => []); // without a folder there are none
  return names.filter(name => name.startsWith(`${basename(target)}${unpackRoom}`)).map(name => join(dirname(target), name));
}

/** Writes the files of one folder of a zip archive below `room`. */
async function unzip(archive: string, folder: string, room: string): Promise<void> {
  const inside = (name: string) => name.startsWith(`${folder}/`) && !name.endsWith('/') && !name.split('/').includes('..');
  const files = Object.entries(unzipSync(await readFile(archive), { filter: ({ name }) => inside(name) }));
  if (files.length === 0) throw new Error(`it has no folder ${folder}`);
  for (const name of new Set(files.map(([path]) => dirname(path)))) await mkdir(join(room, name), { recursive: true });
  for (const [path, bytes] of files) await writeFile(join(room, path), bytes);
}
