/** `sparrow bench --suite conv`: the three passes of a network's convolutions, alone or in turns with other libraries. */
import type { Device } from '../../device/index.ts';
import { conv2d, conv2dInputGrad, conv2dWeightGrad } from '../../tensor/conv.ts';
import { type ConvSizes, convShapes, shapeName } from './conv-shapes.ts';
import type { Peers } from './entry.ts';
import { benchPasses, type PassResult } from './passes.ts';
import type { Timing } from './time.ts';

/** Each pass, and `all`: the three together. */
export type ConvPass = 'forward' | 'inputGradient' | 'weightGradient' | 'all';

export interface Rate {
  /** GFLOP/s at the median. */
  readonly gflops: number;
  readonly timing: Timing;
}

export interface ConvResult extends PassResult<ConvPass, Rate> {
  /** `64ch 32²`. */
  readonly shape: string;
  readonly sizes: ConvSizes;
}

export interface ConvSuiteOptions {
  /** As `--shapes` is written. */
  readonly shapes: string;
  readonly batchSize: number;
  readonly samples: number;
  readonly peers?: Peers | undefined;
  onShape?(shape: string, done: number, total: number): void;
}

/** Largest difference to another library's results, relative to the largest magnitude, at which both did the same work. */
const tolerance = { f32: 1e-4, f16: 1e-2 };

export async function benchConv(
  device: Device,
  { shapes, batchSize, onShape, ...options }: ConvSuiteOptions,
): Promise<ConvResult[]> {
  const results: ConvResult[] = [];
  const all = convShapes(shapes, batchSize);
  for (const sizes of all) {
    const shape = shapeName(sizes);
    const onPart = (part: string) => onShape?.(`${shape}, ${part}`, results.length, all.length);
    results.push({ shape, sizes, ...(await benchShape(device, sizes, { ...options, onPart })) });
  }
  return results;
}

/** Operations of one pass: a multiply-add is two. */
export function convFlops({ n, ci, co, size, kernel, stride }: ConvSizes): number {
  return 2 * n * co * ci * kernel ** 2 * Math.ceil(size / stride) ** 2;
}

function benchShape(
  device: Device,
  z: ConvSizes,
  options: Parameters<typeof benchPasses>[2],
): Promise<PassResult<ConvPass, Rate>> {
  const rows = Math.ceil(z.size / z.stride);
  const image = [z.n, z.ci, z.size, z.size];
  const weights = [z.co, z.ci, z.kernel, z.kernel];
  const o = { padding: Math.floor(z.kernel / 2), stride: z.stride };
  return benchPasses<ConvPass, Rate>(
    device,
    {
      task: 'conv',
      shapes: { x: image, w: weights, g: [z.n, z.co, rows, rows] },
      more: o,
      launches: ([x, w, g]) => {
        const forward = () => conv2d(x, w, o);
        const inputGradient = () => conv2dInputGrad(g, w, image, o);
        const weightGradient = () => conv2dWeightGrad(x, g, weights, o);
        return {
          forward: () => [forward()],
          inputGradient: () => [inputGradient()],
          weightGradient: () => [weightGradient()],
          all: () => [forward(), inputGradient(), weightGradient()],
        };
      },
      compared: ['forward', 'inputGradient', 'weightGradient'],
      tolerance: tolerance[device.precision],
      rate: (pass, timing) => ({ gflops: ((pass === 'all' ? 3 : 1) * convFlops(z)) / timing.median / 1e6, timing }),
    },
    options,
  );
}
