/** `sparrow bench --suite memory`: adversarial training steps of PreActResNet-18, and what memory they hold. */
import { DeviceSplit } from '../../data/device-split.ts';
import type { Device } from '../../device/index.ts';
import { createModel } from '../../nn/models/index.ts';
import { Sgd } from '../../nn/optim.ts';
import { Random, Stream } from '../../tensor/philox.ts';
import { Trainer } from '../../train/trainer.ts';

export interface MemoryOptions {
  readonly width: number;
  readonly batchSize: number;
  /** Steps at which memory is looked at for the second time. */
  readonly steps: number;
  /** Iterations of the training attack. */
  readonly attackSteps: number;
  onStep?(step: number): void;
}

/** Bytes on the device after a step, and buffers made since it was opened. */
export interface MemoryAt {
  readonly step: number;
  readonly live: number;
  readonly peak: number;
  readonly pooled: number;
  readonly buffersMade: number;
}

export interface MemoryResult {
  readonly early: MemoryAt;
  readonly late: MemoryAt;
  /** Live bytes equal, and no buffer made in between. */
  readonly ok: boolean;
  readonly secondsPerStep: number;
}

/** The step after which nothing more may be made. */
export const EARLY_STEP = 5;

const shape = [3, 32, 32] as const;
const classes = 10;

/** Trains on random images; looks at the device's counters after step 5 and after the last. */
export async function benchMemory(device: Device, options: MemoryOptions): Promise<MemoryResult> {
  const { batchSize } = options;
  const random = new Random(1, Stream.data);
  const size = shape.reduce((a, b) => a * b, 1);
  const images = new Uint8Array(random.words(Math.ceil((batchSize * size) / 4)).buffer);
  const labels = Int32Array.from(random.words(batchSize), word => word % classes);
  const maker = { device, random: new Random(1, Stream.init) };
  const model = createModel('resnet18', maker, { width: options.width, classes, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] });
  const optimiser = new Sgd(model.parameters(), { lr: 0.01, momentum: 0.9, weightDecay: 5e-4 });
  const split = new DeviceSplit(device, { images, labels, count: batchSize }, shape, 1);
  const trainer = new Trainer(device, model, optimiser, split, {
    mode: 'pgd',
    attack: { norm: 'linf', eps: 8 / 255, stepSize: 2 / 255, steps: options.attackSteps, randomInit: true },
    augment: { crop: 4, flip: true, rotate: 0 },
    seed: 1,
    keepGradients: [],
  });
  try {
    let early: MemoryAt | undefined;
    let start = 0;
    for (let step = 1; step <= options.steps; step++) {
      await trainer.step(0, batchSize, step);
      await device.sync();
      options.onStep?.(step);
      if (step !== EARLY_STEP) continue;
      early = memoryAt(device, step);
      start = performance.now();
    }
    const late = memoryAt(device, options.steps);
    return {
      early: early!,
      late,
      ok: early!.live === late.live && early!.buffersMade === late.buffersMade,
      secondsPerStep: (performance.now() - start) / 1000 / (options.steps - EARLY_STEP),
    };
  } finally {
    trainer.dispose();
    split.dispose();
    optimiser.dispose();
  }
}

function memoryAt(device: Device, step: number): MemoryAt {
  const { live, peak, pooled, buffersMade } = device.stats;
  return { step, live, peak, pooled, buffersMade };
}
