/** `sparrow bench --suite step`: one adversarial training step as a run does it: a PGD attack in train mode and an SGD update, captured. */
import type { Device, KernelTime } from '../../device/index.ts';
import { layerMacs } from '../../nn/macs.ts';
import { inferenceMacs, passesPerImage } from '../../sparse/flops.ts';
import { type PeerResult, type PeerRounds, type Ratio, takeTurns } from './contest.ts';
import type { Entry, Peers } from './entry.ts';
import { enterStep, type Losses, type PreparedStep } from './step-peers.ts';
import type { Timing } from './time.ts';
import { imageShape, Training, type TrainingOptions } from './training.ts';

export interface StepOptions extends TrainingOptions {
  /** Timed steps, each waited for. */
  readonly samples: number;
  /** Times further steps by kernel. */
  readonly profile: boolean;
  /** Take turns with them. */
  readonly peers?: Peers | undefined;
  onStep?(label: string, done: number, total: number): void;
}

/** Another library's step; PyTorch's is timed only. */
export interface StepPeer extends Partial<PreparedStep> {
  readonly timing: StepResult['timing'];
  /** How many times as long as Sparrow it takes. */
  readonly ratio: Ratio;
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
  /** Seconds from nothing on the device to the first finished step: weights, capture, the step itself, and compilation where no equal steps were before. */
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
  /** Beside other libraries: the losses that they have to come to, the seconds to the first of these, compilation included, and what they gave. */
  readonly losses?: Losses;
  readonly firstEqualStepSeconds?: number;
  readonly peers?: readonly PeerResult<StepPeer>[];
}

/** Steps between the first and the timed ones: clocks rise, and drivers finish their work in the background. */
const WARM_UP = 2;
/** Steps that a profile is the mean of. */
const PROFILED = 3;

/** Times steps, alone or in turns with other libraries. */
export async function benchStep(device: Device, options: StepOptions): Promise<StepResult> {
  if (!options.peers) return timeSteps(device, options);
  const { entry, ...own } = await enterStep(device, options, options.peers, part => options.onStep?.(part, 0, 1));
  try {
    return { ...(await timeSteps(device, options, entry)), ...own };
  } finally {
    entry.close();
  }
}

async function timeSteps(device: Device, options: StepOptions, entry?: Entry): Promise<StepResult> {
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
    const rounds = await takeTurns({ step }, entry?.ready ?? [], { samples, runs: 1 });
    const after = device.stats;
    const profile = options.profile ? await profileSteps(device, step) : undefined;

    const timing = timingOf(rounds.own.step);
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
      ...(entry ? { peers: entry.results(rounds.peers, peerStep) } : {}),
    };
  } finally {
    training.dispose();
  }
}

/** A library's step from its rounds and from what it said when it was prepared. */
function peerStep({ timing, ratio }: PeerRounds<'step'>, prepared: object): Omit<StepPeer, 'difference'> {
  const { losses, firstStepSeconds } = prepared as PreparedStep;
  return { losses, firstStepSeconds, timing: timingOf(timing.step!), ratio: ratio.step! };
}

const timingOf = ({ median, min, max, samples }: Timing): StepResult['timing'] => ({ median, min, max, samples });

/** Milliseconds by kernel of one step: apart from the timed steps, because a pass for each dispatch slows them. */
async function profileSteps(device: Device, step: () => Promise<unknown>): Promise<KernelTime[]> {
  device.profiler.start();
  for (let i = 0; i < PROFILED; i++) await step();
  device.profiler.stop();
  return device.profiler.report().map(k => ({ label: k.label, count: k.count / PROFILED, total: k.total / PROFILED }));
}

const sizeOf = (masks: NonNullable<Training['masks']>, name: string): number => masks.layers.find(l => l.name === name)!.size;
