/**
 * The data sets by name. Another one is a file that makes a `DataSet` and a row in `DATA_SETS`. Files are read by modules that are
 * loaded when asked for, so that a browser, which has `shapes` only, never loads them.
 */
import { UsageError } from '../errors.ts';
import { shapes } from './shapes.ts';
import { type ImageStatistics, imageStatistics } from './statistics.ts';
import { type DataHooks, type DataSet, firstOf } from './types.ts';

export type { ImageStatistics } from './statistics.ts';
export type { Augmentation, DataHooks, DataSet, Split } from './types.ts';

/** What the command line says about data. */
export interface DataRequest {
  /** `--dataset`. */
  dataset: string;
  /** `--data`: the folder of the files; `shapes` needs none. */
  data?: string;
  /** `--limit`: only the first N training samples. */
  limit?: number;
  /** `--eval-limit`: only the first N of validation and of test (and, in the training loop, of what the generalisation gap is computed on). */
  evalLimit?: number;
  /** What `shapes` is rendered from (0). */
  seed?: number;
  /** `--skip-corrupt`: leave image files out that cannot be decoded. */
  skipCorrupt?: boolean;
}

type Open = (request: DataRequest, hooks: DataHooks) => Promise<DataSet>;

const DATA_SETS: Record<string, Open> = {
  cifar10: async request => (await import('./cifar.ts')).openCifar10(folder(request)),
  cifar100: async request => (await import('./cifar.ts')).openCifar100(folder(request)),
  svhn: async request => (await import('./svhn.ts')).openSvhn(folder(request)),
  tinyimagenet: async (request, hooks) => {
    const { skipCorrupt } = request;
    return (await import('./tiny-imagenet.ts')).openTinyImageNet(folder(request), { ...hooks, skipCorrupt });
  },
  folder: async (request, hooks) => {
    const { skipCorrupt } = request;
    return (await import('./image-folder.ts')).openImageFolder(folder(request), { ...hooks, skipCorrupt });
  },
  shapes: async ({ seed, limit = 4000, evalLimit = 500 }) => {
    return shapes({ seed, train: Math.min(limit, 4000), val: Math.min(evalLimit, 500), test: Math.min(evalLimit, 500) });
  },
};

/** The names that `--dataset` takes. */
export const dataSetNames: readonly string[] = Object.keys(DATA_SETS);

/** Further spellings of the names. */
export const dataSetAliases: Readonly<Record<string, string>> = {
  'tiny-imagenet': 'tinyimagenet',
  tiny_imagenet: 'tinyimagenet',
};

/** Shape, means and deviations of a data set's images where they are known without opening it: not of `folder`, nor of an unknown name. */
export function publishedStatistics(dataset: string): ImageStatistics | undefined {
  return Object.hasOwn(imageStatistics, dataset) ? imageStatistics[dataset as keyof typeof imageStatistics] : undefined;
}

/**
 * Opens a data set by name and cuts it to its limits.
 * @throws UsageError for an unknown name, a missing folder flag or a limit that is no positive whole number; FileError for bad files
 */
export async function openDataSet(request: DataRequest, hooks: DataHooks = {}): Promise<DataSet> {
  const open = Object.hasOwn(DATA_SETS, request.dataset) ? DATA_SETS[request.dataset] : undefined;
  if (!open) throw new UsageError(`unknown data set '${request.dataset}': --dataset takes ${dataSetNames.join(', ')}`);
  checkLimit('--limit', request.limit);
  checkLimit('--eval-limit', request.evalLimit);
  const set = await open(request, hooks);
  return {
    ...set,
    train: firstOf(set.train, request.limit),
    val: firstOf(set.val, request.evalLimit),
    test: firstOf(set.test, request.evalLimit),
  };
}

function folder({ dataset, data }: DataRequest): string {
  if (data) return data;
  const source = dataset === 'folder' ? 'train/CLASS/IMAGES and test/CLASS/IMAGES' : `\`sparrow data fetch ${dataset}\``;
  throw new UsageError(`--data is missing: ${dataset} needs the folder of its files (${source})`);
}

function checkLimit(flag: string, limit: number | undefined): void {
  if (limit !== undefined && !(Number.isInteger(limit) && limit > 0)) {
    throw new UsageError(`${flag} takes a positive whole number, not ${limit}`);
  }
}
