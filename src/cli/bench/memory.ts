/** `sparrow bench --suite memory`: adversarial training steps of PreActResNet-18, and what memory they hold. */
import type { Device } from '../../device/index.ts';
import { Training } from './training.ts';

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

/** Trains on random images; looks at the device's counters after step 5 and after the last. */
export async function benchMemory(device: Device, options: MemoryOptions): Promise<MemoryResult> {
  const training = new Training(device, { ...options, arch: 'resnet18' });
  try {
    let early: MemoryAt | undefined;
    let start = 0;
    for (let step = 1; step <= options.steps; step++) {
      await training.step();
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
    training.dispose();
  }
}

function memoryAt(device: Device, step: number): MemoryAt {
  const { live, peak, pooled, buffersMade } = device.stats;
  return { step, live, peak, pooled, buffersMade };
}
