/** `sparrow bench` behind its flags: opens the device, runs what was asked for, and closes everything. */

import type { AdapterKind, Device, KernelTime, Precision } from '../../device/index.ts';
import { SparrowError } from '../../errors.ts';
import { choicesOf } from '../../kernels/choices.ts';
import type { Initialiser } from '../../sparse/densities.ts';
import type { Progress, RunHooks } from '../../train/api.ts';
import { openTunedDevice } from '../../train/kernels.ts';
import { benchConv, type ConvResult } from './conv.ts';
import type { ShapeSet } from './conv-shapes.ts';
import { benchKernel, checkKernelName, type KernelResult } from './kernel.ts';
import { benchLaunch, type LaunchResult } from './launch.ts';
import { benchLimits, type LimitResult } from './limits.ts';
import { benchMemory, type MemoryResult } from './memory.ts';
import { checkPeer, openPeer } from './peer.ts';
import { type Circumstances, circumstances } from './record.ts';
import { benchStep, type StepResult } from './step.ts';
import { benchTune, type TuneResult } from './tune.ts';

/** What `--suite` runs. */
export type Suite = 'conv' | 'step' | 'launch' | 'memory' | 'limits';

export interface BenchOptions {
  readonly kernel?: string | undefined;
  readonly suite?: Suite | undefined;
  /** Measures and keeps the kernels of a model. */
  readonly tune: boolean;
  /** Seconds. */
  readonly budget: number;
  readonly again: boolean;
  readonly imageSize: number;
  readonly small: boolean;
  readonly samples: number;
  readonly arch: string;
  readonly width: number;
  /** By default what suits the suite, for `step` also the adapter. */
  readonly batchSize?: number | undefined;
  readonly steps: number;
  readonly trainStep: number;
  readonly density?: number | undefined;
  readonly sparseInit: Initialiser;
  readonly shapes: ShapeSet;
  readonly peers: boolean;
  readonly profile: boolean;
  readonly adapter: AdapterKind;
  readonly gpu: string;
  readonly precision: Precision;
}

/** What was trained, as the result repeats it. */
interface Trained {
  readonly width: number;
  readonly batchSize: number;
  readonly trainStep: number;
}

export type Outcome =
  | ({ readonly tune: true; readonly ok: true; readonly arch: string; readonly imageSize: number } & Omit<Trained, 'trainStep'> &
      TuneResult)
  | { readonly kernel: string; readonly ok: boolean; readonly cases: readonly KernelResult[] }
  | {
      readonly suite: 'conv';
      readonly ok: true;
      readonly batchSize: number;
      readonly peer?: string;
      readonly shapes: readonly ConvResult[];
    }
  | ({ readonly suite: 'step'; readonly ok: true; readonly arch: string } & Trained & StepResult)
  | ({ readonly suite: 'launch'; readonly ok: true } & LaunchResult)
  | ({ readonly suite: 'memory' } & Trained & MemoryResult)
  | { readonly suite: 'limits'; readonly ok: true; readonly limits: readonly LimitResult[] };

export type BenchOutcome = Circumstances & {
  readonly precision: Precision;
  /** Kernels of this adapter that were chosen by measuring, on whatever sizes; absent where all ran with their defaults. */
  readonly measuredKernels?: number;
  readonly profile?: readonly KernelTime[];
} & Outcome;

/**
 * @throws UsageError for an unknown kernel, before a device is opened
 */
export async function runBench(
  options: BenchOptions,
  hooks: Pick<RunHooks, 'onNotice'> & Required<Pick<RunHooks, 'onProgress'>>,
): Promise<BenchOutcome> {
  if (options.kernel !== undefined) checkKernelName(options.kernel);
  if (options.peers) checkPeer();
  const device = await openTunedDevice(options, hooks);
  try {
    if (options.profile && !device.profiler.available)
      throw new SparrowError(`--profile: ${device.adapter.description || device.adapter.kind} has no timestamp queries`);
    // the step suite takes its profile by itself, apart from what it times
    const profiled = options.profile && options.suite !== 'step';
    if (profiled) device.profiler.start();
    const measuredKernels = choicesOf(device).size;
    const outcome = await measure(device, options, hooks.onProgress);
    return {
      ...circumstances(device.adapter),
      precision: device.precision,
      ...(measuredKernels ? { measuredKernels } : {}),
      ...outcome,
      ...(profiled ? { profile: device.profiler.report() } : {}),
    };
  } finally {
    device.close();
  }
}

type OnPart = (label: string, done: number, total: number) => void;

async function measure(device: Device, options: BenchOptions, onProgress: (progress: Progress) => void): Promise<Outcome> {
  const onPart: OnPart = (label, done, total) => onProgress({ label, done, total });
  const { kernel, suite, samples, width, trainStep } = options;
  if (kernel !== undefined) {
    const cases = await benchKernel(device, kernel, { small: options.small, samples, onCase: onPart });
    return { kernel, ok: cases.every(c => c.ok), cases };
  }
  if (options.tune) {
    const { arch, imageSize, budget, again, batchSize = usualBatch(device) } = options;
    const result = await benchTune(device, { arch, width, batchSize, imageSize, budget, again }, onProgress);
    return { tune: true, ok: true, arch, width, batchSize, imageSize, ...result };
  }
  switch (suite!) {
    case 'conv':
      return conv(device, options, onPart);
    case 'step': {
      const batchSize = options.batchSize ?? usualBatch(device);
      const { arch, density, sparseInit, profile } = options;
      const training = { arch, width, batchSize, attackSteps: trainStep, density, sparseInit };
      const result = await benchStep(device, { ...training, samples, profile, onStep: onPart });
      return { suite: 'step', ok: true, arch, width, batchSize, trainStep, ...result };
    }
    case 'launch':
      return { suite: 'launch', ok: true, ...(await benchLaunch(device, { samples, onStep: onPart })) };
    case 'memory': {
      const { batchSize = 32, steps } = options;
      const onStep = (step: number) => onPart('training step', step, steps);
      const result = await benchMemory(device, { width, batchSize, steps, attackSteps: trainStep, onStep });
      return { suite: 'memory', width, batchSize, trainStep, ...result };
    }
    case 'limits':
      return { suite: 'limits', ok: true, limits: await benchLimits(device, { samples, onPart }) };
  }
}

/** What a training step is measured with where nothing else is asked for. */
const usualBatch = (device: Device): number => (device.adapter.kind === 'gpu' ? 128 : 8);

async function conv(device: Device, options: BenchOptions, onShape: OnPart): Promise<Outcome> {
  const { batchSize = 8, samples, shapes: set } = options;
  const peer = options.peers ? await openPeer() : undefined;
  try {
    const shapes = await benchConv(device, { shapes: set, batchSize, samples, peer, onShape });
    return { suite: 'conv', ok: true, batchSize, ...(peer ? { peer: peer.name } : {}), shapes };
  } finally {
    peer?.close();
  }
}
