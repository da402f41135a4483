/** `sparrow bench --suite sparse`: convolutions whose weights are mostly 0, in turns with the same convolutions of dense weights. */
import type { Device } from '../../device/index.ts';
import { conv2d, conv2dInputGrad } from '../../tensor/conv.ts';
import { capture, type Tensor, tensor } from '../../tensor/tensor.ts';
import { floats } from './case.ts';
import { type Run, takeTurns } from './contest.ts';
import { type ConvSizes, convShapes, shapeName } from './conv-shapes.ts';
import { elapsed, type Timing } from './time.ts';

/** The passes that an attack's iterations consist of. */
export const sparsePasses = ['forward', 'inputGradient'] as const;
export type SparsePass = (typeof sparsePasses)[number];

/** One density; 1 is dense. */
export interface SparseRow {
  readonly density: number;
  readonly timing: Readonly<Record<SparsePass, Timing>>;
  /** Time over that of dense weights, of the medians. */
  readonly ratio: Readonly<Record<SparsePass, number>>;
}

export interface SparseResult {
  /** `64ch 32²`. */
  readonly shape: string;
  readonly sizes: ConvSizes;
  /** Dense first. */
  readonly rows: readonly SparseRow[];
}

export interface SparseOptions {
  /** As `--shapes` is written. */
  readonly shapes: string;
  readonly batchSize: number;
  readonly samples: number;
  onShape?(shape: string, done: number, total: number): void;
}

const densities = [1, 0.5, 0.2, 0.1, 0.05];
/** Launches of a run: an attack packs its weights once for the passes of all its iterations. */
const LAUNCHES = 4;

export async function benchSparse(
  device: Device,
  { shapes, batchSize, samples, onShape }: SparseOptions,
): Promise<SparseResult[]> {
  const all = convShapes(shapes, batchSize);
  const results: SparseResult[] = [];
  for (const sizes of all) {
    onShape?.(shapeName(sizes), results.length, all.length);
    results.push({ shape: shapeName(sizes), sizes, rows: await benchShape(device, sizes, samples) });
  }
  return results;
}

async function benchShape(device: Device, z: ConvSizes, samples: number): Promise<SparseRow[]> {
  const rows = Math.ceil(z.size / z.stride);
  const image = [z.n, z.ci, z.size, z.size];
  const kernel = [z.co, z.ci, z.kernel, z.kernel];
  const values = (shape: readonly number[], seed: number) => floats(shape, seed).values as Float32Array<ArrayBuffer>;
  const [all, chance] = [values(kernel, 2), values(kernel, 4)];
  const x = tensor(device, values(image, 1), image);
  const g = tensor(device, values([z.n, z.co, rows, rows], 3), [z.n, z.co, rows, rows]);
  // chance is uniform in [-1, 1)
  const weights = densities.map(density =>
    tensor(
      device,
      all.map((w, i) => (chance[i] < 2 * density - 1 ? w : 0)),
      kernel,
    ),
  );
  const contestants = densities.flatMap((density, i) =>
    sparsePasses.map(pass => {
      const options = { padding: Math.floor(z.kernel / 2), stride: z.stride, density };
      const launch = (): Tensor =>
        pass === 'forward' ? conv2d(x, weights[i], options) : conv2dInputGrad(g, weights[i], image, options);
      return { name: `${pass} ${density}`, step: capture(device, () => Array.from({ length: LAUNCHES }, launch)) };
    }),
  );
  try {
    for (const { step } of contestants) await step.capture.ready();
    const run =
      ({ step }: (typeof contestants)[number]): Run =>
      n =>
        elapsed(device, () => step.run(), n);
    const rounds = await takeTurns(Object.fromEntries(contestants.map(c => [c.name, run(c)])), [], { samples });
    const once = ({ median, min, max, ...rest }: Timing): Timing => {
      const [a, b, c] = [median, min, max].map(ms => ms / LAUNCHES);
      return { median: a, min: b, max: c, ...rest };
    };
    const timing = (density: number, pass: SparsePass) => once(rounds.own[`${pass} ${density}`]);
    return densities.map(density => ({
      density,
      timing: byPass(pass => timing(density, pass)),
      ratio: byPass(pass => timing(density, pass).median / timing(1, pass).median),
    }));
  } finally {
    for (const { step } of contestants) step.dispose();
    for (const t of [x, g, ...weights]) t.dispose();
  }
}

const byPass = <T>(of: (pass: SparsePass) => T): Record<SparsePass, T> => ({
  forward: of('forward'),
  inputGradient: of('inputGradient'),
});
