/** The convolutions of `sparrow bench --suite conv`. */

/** A convolution of [n, ci, size, size] with [co, ci, kernel, kernel], padded by floor(kernel/2) so that the output has ceil(size/stride) rows. */
export interface ConvSizes {
  readonly n: number;
  readonly ci: number;
  readonly co: number;
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
}

export type ShapeSet = 'stages' | 'all';

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
  // the rest of the ResNet-18: its first layer, its downsamplings, its shortcuts
  { ci: 3, co: 64, size: 32 },
  { ci: 64, co: 128, size: 32, stride: 2 },
  { ci: 128, co: 256, size: 16, stride: 2 },
  { ci: 256, co: 512, size: 8, stride: 2 },
  { ci: 64, co: 128, size: 32, kernel: 1, stride: 2 },
  { ci: 128, co: 256, size: 16, kernel: 1, stride: 2 },
  { ci: 256, co: 512, size: 8, kernel: 1, stride: 2 },
  // images of 64 x 64
  { ci: 3, co: 64, size: 64 },
  { ci: 64, size: 64 },
  { ci: 128, size: 32 },
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

/** The shapes of a set, with n images where a shape does not say itself how many. */
export function convShapes(set: ShapeSet, n: number): ConvSizes[] {
  const rows = set === 'all' ? [...stages, ...more] : stages;
  return rows.map(row => ({ n, co: row.ci, kernel: 3, stride: 1, ...row }));
}

/** `64ch 32²`; `64→128 32² 1x1 stride 2`. */
export function shapeName({ ci, co, size, kernel, stride }: ConvSizes): string {
  const channels = ci === co ? `${ci}ch` : `${ci}→${co}`;
  return `${channels} ${size}²${kernel === 3 ? '' : ` ${kernel}x${kernel}`}${stride === 1 ? '' : ` stride ${stride}`}`;
}
