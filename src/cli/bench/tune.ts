/** `sparrow bench --tune`: measures the kernels of a model's convolutions on this adapter, and keeps the fastest for later runs. */
import type { Device } from '../../device/index.ts';
import { type Choice, choicesPlace } from '../../kernels/choices.ts';
import { createModel } from '../../nn/models/index.ts';
import { type TunedConvolution, tuneModel } from '../../nn/tune.ts';
import type { Initialiser } from '../../sparse/densities/index.ts';
import { Masks } from '../../sparse/masks.ts';
import { Random, Stream } from '../../tensor/philox.ts';
import type { Progress } from '../../train/api.ts';
import { shapeName } from './conv-shapes.ts';

export interface TuneSettings {
  readonly arch: string;
  readonly width: number;
  readonly batchSize: number;
  /** Height and width of the images. */
  readonly imageSize: number;
  /** Share of the weights that a random mask keeps; dense without it. */
  readonly density?: number | undefined;
  readonly sparseInit: Initialiser;
  /** Seconds. */
  readonly budget: number;
  readonly again: boolean;
}

/** One pass of one convolution. */
export interface TuneRow extends Pick<TunedConvolution, 'pass' | 'state'> {
  /** `64→128 32² stride 2`; with the density that was measured where weights are sparse. */
  readonly shape: string;
  /** Milliseconds of the default and of the fastest, and which that is (null: the default). Absent where nothing was measured. */
  readonly default?: number;
  readonly best?: number;
  readonly variant?: Choice['variant'];
  /** Candidates that the adapter refused, with the reasons. */
  readonly refused: readonly string[];
}

export interface TuneResult {
  /** Where the choices are kept. */
  readonly cache: string;
  readonly seconds: number;
  readonly rows: readonly TuneRow[];
}

export async function benchTune(
  device: Device,
  { arch, width, batchSize, imageSize, density, sparseInit, budget, again }: TuneSettings,
  onProgress: (progress: Progress) => void,
): Promise<TuneResult> {
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  const pixels = { classes: 10, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  const model = createModel(arch, { device, random: new Random(1, Stream.init) }, { width, ...pixels });
  const masks = density === undefined ? undefined : new Masks(model, 1);
  try {
    masks?.initialise(density!, sparseInit);
    const tuned = await tuneModel(device, model, [batchSize, 3, imageSize, imageSize], {
      budget,
      again,
      onWork: (work, done, total) => {
        const left = `${Math.max(0, budget - seconds()).toFixed(0)} s left`;
        onProgress({ label: 'tuning', done, total, fields: { measuring: `${nameOf(work)}, ${work.pass}`, budget: left } });
      },
    });
    return { cache: choicesPlace(), seconds: seconds(), rows: tuned.map(rowOf) };
  } finally {
    masks?.dispose();
    model.dispose();
  }
}

function rowOf(work: TunedConvolution): TuneRow {
  const { pass, state, choice, refused } = work;
  return { shape: nameOf(work), pass, state, ...choice, refused };
}

const nameOf = ({ shape: s }: Pick<TunedConvolution, 'shape'>): string =>
  shapeName({ n: s.n, ci: s.ci, co: s.co, size: s.h, kernel: s.kh, stride: s.stride }) +
  (s.density === undefined ? '' : ` density ${s.density}`);
