/** `sparrow bench --suite step`: one adversarial training step as a run does it: a PGD attack in train mode and an SGD update, captured. */
import type { Device, KernelTime } from '../../device/index.ts';
import { layerMacs } from '../../nn/macs.ts';
import { inferenceMacs, passesPerImage } from '../../sparse/flops.ts';

import { spread, type Timing } from './time.ts';
import { imageShape, Training, type TrainingOptions } from './training.ts';

export interface StepOptions extends TrainingOptions {
  /** Timed steps, each waited for. */
  readonly samples: number;
  /** Times further steps by kernel. */
  readonly profile: boolean;
  onStep?(label: string, done: number, total: number): void;
}

export interface StepResult {
  /** Milliseconds of a step. */
  readonly timing: Omit<Timing, 'runs'>;
  readonly imagesPerSecond: number;
  /**
   * At the median. `dense` counts every weight, `real` only those that the mask keeps. An image's forward pass is 2·macs operations, a step's
   * work is 2K + 3 of them: K + 1 forward passes, K + 1 input gradients, 1 weight gradient (`sparse/flops.ts`).
   */
  readonly gflops: { readonly dense: number; readonly real: number };
  /** Active share of the weights that a mask applies to; 1 without one. */
  readonly density: number;
  /** Seconds from nothing on the device to the first finished step: weights, capture, compilation, the step itself. */
  readonly firstStepSeconds: number;
  /** Bytes: of tensors at most during a step and between steps; of all buffers, those that wait in the pool included. */
  readonly peak: number;
  readonly live: number;
  readonly held: number;
  /** Of one step. */
  readonly dispatches: number;
  readonly submits: number;
  readonly buffersMade: number;
  /** Of one step. */
  readonly profile?: readonly KernelTime[];
}

/** Steps between the first and the timed ones: clocks rise, and drivers finish their work in the background. */
const WARM_UP = 2;
/** Steps that a profile is the mean of. */
const PROFILED = 3;

export async function benchStep(device: Device, options: StepOptions): Promise<StepResult> {
  const { samples, batchSize, attackSteps } = options;
  const total = 1 + WARM_UP + samples + (options.profile ? PROFILED : 0);
  let done = 0;
  const start = performance.now();
  const training = new Training(device, options);
  const step = async () => {
    options.onStep?.(done === 0 ? 'first step' : 'training step', done, total);
    const begun = performance.now();
    await training.step();
    done++;
    return performance.now() - begun;
  };
  try {
    await step();
    const firstStepSeconds = (performance.now() - start) / 1000;
    for (let i = 0; i < WARM_UP; i++) await step();
    const before = device.stats;
    const times: number[] = [];
    for (let i = 0; i < samples; i++) times.push(await step());
    const after = device.stats;
    const profile = options.profile ? await profileSteps(device, step) : undefined;

    const timing = spread(times);
    const seconds = timing.median / 1000;
    const { masks, model } = training;
    const macs = inferenceMacs(layerMacs(device, model, imageShape), name => (masks ? masks.nnz(name) / sizeOf(masks, name) : 1));
    const rate = (n: number) => (2 * n * passesPerImage(attackSteps) * batchSize) / seconds / 1e9;
    return {
      timing,
      imagesPerSecond: batchSize / seconds,
      gflops: { dense: rate(macs.dense), real: rate(macs.real) },
      density: masks?.density() ?? 1,
      firstStepSeconds,
      peak: after.peak,
      live: after.live,
      held: after.live + after.pooled,
      dispatches: (after.dispatches - before.dispatches) / samples,
      submits: (after.submits - before.submits) / samples,
      buffersMade: (after.buffersMade - before.buffersMade) / samples,
      ...(profile ? { profile } : {}),
    };
  } finally {
    training.dispose();
  }
}

/** Milliseconds by kernel of one step: apart from the timed steps, because a pass for each dispatch slows them. */
async function profileSteps(device: Device, step: () => Promise<unknown>): Promise<KernelTime[]> {
  device.profiler.start();
  for (let i = 0; i < PROFILED; i++) await step();
  device.profiler.stop();
  return device.profiler.report().map(k => ({ label: k.label, count: k.count / PROFILED, total: k.total / PROFILED }));
}

const sizeOf = (masks: NonNullable<Training['masks']>, name: string): number => masks.layers.find(l => l.name === name)!.size;
