/** The convolutions of `sparrow bench --suite conv`. */

import type { ConvSizes } from '../../report/roof.ts';

export type { ConvSizes };

/** What is not said is a 3x3 kernel, stride 1, and as many output channels as input channels. */
type Row = Pick<ConvSizes, 'ci' | 'size'> & Partial<ConvSizes>;

/** The four stages of a ResNet-18 of width 64. */
const stages: readonly Row[] = [
  { ci: 64, size: 32 },
  { ci: 128, size: 16 },
  { ci: 256, size: 8 },
  { ci: 512, size: 4 },
];

const more: readonly Row[] = [
  // the rest of the ResNet-18: its first layer, downsamplings, shortcuts
  { ci: 3, co: 64, size: 32 },
  { ci: 64, co: 128, size: 32, stride: 2 },
  { ci: 256, co: 512, size: 8, stride: 2 },
  { ci: 64, co: 128, size: 32, kernel: 1, stride: 2 },
  { ci: 256, co: 512, size: 8, kernel: 1, stride: 2 },
  // images of 64 x 64
  { ci: 3, co: 64, size: 64 },
  { ci: 64, size: 64 },
  // WideResNet-34-10
  { ci: 16, co: 160, size: 32 },
  { ci: 160, size: 32 },
  { ci: 160, co: 320, size: 32, stride: 2 },
  { ci: 320, size: 16 },
  { ci: 640, size: 8 },
  // sizes that no tile divides
  { ci: 7, size: 32 },
  { ci: 7, co: 13, size: 33 },
  { ci: 64, size: 33 },
  { ci: 64, size: 33, stride: 2 },
  // one image, and many
  { ci: 64, size: 32, n: 1 },
  { ci: 512, size: 4, n: 1 },
  { ci: 64, size: 32, n: 128 },
  { ci: 512, size: 4, n: 128 },
];

const sets: Readonly<Record<string, readonly Row[]>> = { stages, all: [...stages, ...more] };

/** The grammar of one shape: `64x32` is `64-64x32k3s1`; kernels are odd, n is the batch. */
const written =
  /^(?<ci>[1-9]\d*)(?:-(?<co>[1-9]\d*))?x(?<size>[1-9]\d*)(?:k(?<kernel>\d*[13579]))?(?:s(?<stride>[1-9]\d*))?(?:n(?<n>[1-9]\d*))?$/;

/** How `--shapes` is written, for messages. */
export const shapesSyntax = 'stages, all, or CI[-CO]xSIZE[kK][sS][nN],... as in 64x32,64-128x32k1s2n128';

/** The rows that a list names, or undefined where it is written wrongly: a set, or shapes separated by commas. */
function rowsOf(list: string): readonly Row[] | undefined {
  if (Object.hasOwn(sets, list)) return sets[list];
  const rows: Row[] = [];
  for (const name of list.split(',')) {
    const fields = written.exec(name.trim())?.groups;
    if (!fields) return undefined;
    const given = Object.entries(fields).filter(([, digits]) => digits !== undefined);
    rows.push(Object.fromEntries(given.map(([key, digits]) => [key, Number(digits)])) as unknown as Row);
  }
  return rows;
}

/** Whether `--shapes` can be read. */
export const areShapes = (list: string): boolean => rowsOf(list) !== undefined;

/** The shapes of a list that can be read, with n images where a shape does not say itself how many. */
export function convShapes(list: string, n: number): ConvSizes[] {
  return rowsOf(list)!.map(row => ({ n, co: row.ci, kernel: 3, stride: 1, ...row }));
}

/** `64ch 32²`; `64→128 32² 1x1 stride 2`. */
export function shapeName({ ci, co, size, kernel, stride }: ConvSizes): string {
  const channels = ci === co ? `${ci}ch` : `${ci}→${co}`;
  return `${channels} ${size}²${kernel === 3 ? '' : ` ${kernel}x${kernel}`}${stride === 1 ? '' : ` stride ${stride}`}`;
}

/** The name, with the batch where it is not the suite's. */
export const shapeTitle = (z: ConvSizes, batchSize: number): string =>
  z.n === batchSize ? shapeName(z) : `${shapeName(z)}, batch ${z.n}`;
