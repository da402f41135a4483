/** `sparrow bench --suite norm`: train-mode batch norm at the four stages of a ResNet-18, alone or in turns with other libraries. */
import type { Device } from '../../device/index.ts';
import { normTrain, normTrainBackward } from '../../tensor/norm.ts';
import type { Peers } from './entry.ts';
import { benchPasses, type PassResult } from './passes.ts';
import type { Timing } from './time.ts';

/** The forward pass, and `all`: forward and the gradients by x, gamma and beta. */
export type NormPass = 'forward' | 'all';

/**
 * How often a pass must at least move a tensor of the activations' size. Forward reads x for the statistics and again to normalise, and
 * writes y; backward reads x and the output gradient for its two sums and both again for the gradient by x, which it writes.
 */
const moves: Readonly<Record<NormPass, number>> = { forward: 3, all: 8 };

/** Largest difference to another library's results, relative to the largest magnitude, at which both did the same work. */
const TOLERANCE = 1e-4;
const EPS = 1e-5;

export interface NormRate {
  /** GB/s at the median, of what must be moved at least: 3 times the activations forward, 8 times forward and backward. */
  readonly gbs: number;
  readonly timing: Timing;
}

export interface NormResult extends PassResult<NormPass, NormRate> {
  /** `64ch 32²`. */
  readonly shape: string;
  /** [N, C, H, W]. */
  readonly sizes: readonly number[];
}

export interface NormSuiteOptions {
  readonly batchSize: number;
  readonly samples: number;
  readonly peers?: Peers | undefined;
  onShape?(shape: string, done: number, total: number): void;
}

const stages = [64, 128, 256, 512].map((channels, i) => ({ channels, rows: 32 >> i }));

export async function benchNorm(device: Device, { batchSize, onShape, ...options }: NormSuiteOptions): Promise<NormResult[]> {
  const results: NormResult[] = [];
  for (const { channels, rows } of stages) {
    const shape = `${channels}ch ${rows}²`;
    const onPart = (part: string) => onShape?.(`batch norm ${shape}, ${part}`, results.length, stages.length);
    const sizes = [batchSize, channels, rows, rows];
    results.push({ shape, sizes, ...(await benchSizes(device, sizes, { ...options, onPart })) });
  }
  return results;
}

function benchSizes(
  device: Device,
  sizes: readonly number[],
  options: Parameters<typeof benchPasses>[2],
): Promise<PassResult<NormPass, NormRate>> {
  const channels = [sizes[1]];
  const bytes = 4 * sizes.reduce((a, b) => a * b);
  return benchPasses<NormPass, NormRate>(
    device,
    {
      task: 'norm',
      shapes: { x: sizes, gamma: channels, beta: channels, g: sizes },
      more: {},
      launches: ([x, gamma, beta, g]) => {
        const forward = () => normTrain(x, gamma, beta, { eps: EPS, relu: false });
        return {
          forward: () => [forward().y],
          all: () => {
            const { stats, y } = forward();
            const { gx, sums } = normTrainBackward(x, g, stats, { relu: false });
            return [gx, sums, y];
          },
        };
      },
      compared: ['forward', 'all'],
      tolerance: TOLERANCE,
      rate: (pass, timing) => ({ gbs: (moves[pass] * bytes) / timing.median / 1e6, timing }),
    },
    options,
  );
}
