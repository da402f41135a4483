/** `sparrow bench` behind its flags: opens the device, runs what was asked for, and closes everything. */

import type { AdapterKind, Device, KernelTime, Precision } from '../../device/index.ts';
import { SparrowError } from '../../errors.ts';
import { choicesOf } from '../../kernels/choices.ts';
import type { Initialiser } from '../../sparse/densities/index.ts';
import type { Progress, RunHooks } from '../../train/api.ts';
import { deviceOptions } from '../../train/config.ts';
import { openTunedDevice } from '../../train/kernels.ts';
import { benchConv, type ConvPass, type ConvResult } from './conv.ts';
import { shapeTitle } from './conv-shapes.ts';
import type { Peers } from './entry.ts';
import { benchKernel, checkKernelName, type KernelResult } from './kernel.ts';
import { benchLaunch, type LaunchResult } from './launch.ts';
import { benchLimits, type LimitResult } from './limits.ts';
import { benchMemory, type MemoryResult } from './memory.ts';
import { benchNorm, type NormPass, type NormResult } from './norm.ts';
import { type SmallestRatio, smallestRatios } from './passes.ts';
import { installedPeers } from './peer.ts';
import { type Circumstances, circumstances } from './record.ts';
import { benchSparse, type SparseResult } from './sparse.ts';
import { benchStep, type StepResult } from './step.ts';
import { addTorchConv, addTorchStep, hasTorch } from './torch.ts';
import { benchTune, type TuneResult } from './tune.ts';

/** What `--suite` runs. */
export type Suite = 'conv' | 'norm' | 'step' | 'sparse' | 'launch' | 'memory' | 'limits' | 'peers';

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
  /** By default what suits the suite. */
  readonly samples?: number | undefined;
  readonly arch: string;
  /** By default what suits the suite. */
  readonly width?: number | undefined;
  /** By default what suits the suite, for `step` also the adapter. */
  readonly batchSize?: number | undefined;
  readonly steps: number;
  readonly trainStep: number;
  readonly density?: number | undefined;
  readonly sparseInit: Initialiser;
  /** As `--shapes` is written. */
  readonly shapes: string;
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

export interface ConvOutcome {
  readonly suite: 'conv';
  readonly ok: true;
  readonly batchSize: number;
  readonly shapes: readonly ConvResult[];
  /** Beside other libraries: where each comes nearest. */
  readonly smallest?: readonly SmallestRatio<ConvPass>[];
  /** The adapter's ceilings, measured in the same run. */
  readonly limits: readonly LimitResult[];
}

export interface NormOutcome {
  readonly suite: 'norm';
  readonly ok: true;
  readonly batchSize: number;
  readonly shapes: readonly NormResult[];
  readonly smallest?: readonly SmallestRatio<NormPass>[];
  readonly limits: readonly LimitResult[];
}

export interface SparseOutcome {
  readonly suite: 'sparse';
  readonly ok: true;
  readonly batchSize: number;
  readonly shapes: readonly SparseResult[];
}

/** How the random masks spread their density over layers; absent for weights without masks. */
interface Masked {
  readonly sparseInit?: Initialiser;
}

export type StepOutcome = { readonly suite: 'step'; readonly ok: true; readonly arch: string } & Trained & Masked & StepResult;

export type TuneOutcome = {
  readonly tune: true;
  readonly ok: true;
  readonly arch: string;
  readonly imageSize: number;
  /** As `--density` asks for it. */
  readonly density?: number;
} & Omit<Trained, 'trainStep'> &
  Masked &
  TuneResult;

export type Outcome =
  | TuneOutcome
  | { readonly kernel: string; readonly ok: boolean; readonly cases: readonly KernelResult[] }
  | ConvOutcome
  | NormOutcome
  | StepOutcome
  | SparseOutcome
  | ({ readonly suite: 'launch'; readonly ok: true } & LaunchResult)
  | ({ readonly suite: 'memory' } & Trained & MemoryResult)
  | { readonly suite: 'limits'; readonly ok: true; readonly limits: readonly LimitResult[] }
  | { readonly suite: 'peers'; readonly ok: true; readonly parts: readonly [StepOutcome, ConvOutcome, NormOutcome] };

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
  const withPeers = options.peers || options.suite === 'peers';
  const libraries = withPeers ? installedPeers() : [];
  const device = await openTunedDevice(options, hooks);
  try {
    if (options.profile && !device.profiler.available)
      throw new SparrowError(`--profile: ${device.adapter.description || device.adapter.kind} has no timestamp queries`);
    // the step suite takes its profile by itself, apart from what it times
    const profiled = options.profile && options.suite !== 'step';
    if (profiled) device.profiler.start();
    const measuredKernels = choicesOf(device).size;
    const peers = withPeers ? { libraries, adapter: device.adapter, gpu: deviceOptions(options).gpu ?? '' } : undefined;
    const { onProgress } = hooks;
    const onPart: Bench['onPart'] = (label, done, total) => onProgress({ label, done, total });
    const outcome = await measure({ device, options, peers, onPart, onProgress });
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

/** What the suites work with. */
interface Bench {
  readonly device: Device;
  readonly options: BenchOptions;
  readonly peers: Peers | undefined;
  onPart(label: string, done: number, total: number): void;
  onProgress(progress: Progress): void;
}

/** Timed samples where it is not said how many. */
const SAMPLES = 9;
const STEP_SAMPLES = 5;
/** Samples of the ceilings beside a suite. */
const LIMIT_SAMPLES = 3;

async function measure(bench: Bench): Promise<Outcome> {
  const { device, options, onPart } = bench;
  const { kernel, suite, samples = SAMPLES, trainStep } = options;
  if (kernel !== undefined) {
    const cases = await benchKernel(device, kernel, { small: options.small, samples, onCase: onPart });
    return { kernel, ok: cases.every(c => c.ok), cases };
  }
  if (options.tune) {
    const { arch, width = 64, imageSize, density, sparseInit, budget, again, batchSize = usualBatch(device) } = options;
    const settings = { arch, width, batchSize, imageSize, density, sparseInit, budget, again };
    const result = await benchTune(device, settings, bench.onProgress);
    const masked = density === undefined ? {} : { density, sparseInit };
    return { tune: true, ok: true, arch, width, batchSize, imageSize, ...masked, ...result };
  }
  switch (suite!) {
    case 'conv':
      return conv(bench, await limits(bench));
    case 'norm':
      return norm(bench, await limits(bench));
    case 'step':
      return step(bench);
    case 'sparse': {
      const { shapes, batchSize = 8 } = options;
      const results = await benchSparse(device, { shapes, batchSize, samples, onShape: onPart });
      return { suite: 'sparse', ok: true, batchSize, shapes: results };
    }
    case 'launch':
      return { suite: 'launch', ok: true, ...(await benchLaunch(device, { samples, onStep: onPart })) };
    case 'memory': {
      const { width = 16, batchSize = 32, steps } = options;
      const onStep = (at: number) => onPart('training step', at, steps);
      const result = await benchMemory(device, { width, batchSize, steps, attackSteps: trainStep, onStep });
      return { suite: 'memory', width, batchSize, trainStep, ...result };
    }
    case 'limits':
      return { suite: 'limits', ok: true, limits: await benchLimits(device, { samples, onPart }) };
    case 'peers': {
      // the step first: its peak of memory counts from the opening of the device
      const trained = await step(bench);
      const ceilings = await limits(bench);
      return { suite: 'peers', ok: true, parts: [trained, await conv(bench, ceilings), await norm(bench, ceilings)] };
    }
  }
}

/** Images of a training step where nothing else is asked for. */
const usualBatch = (device: Device): number => (device.adapter.kind === 'gpu' ? 128 : 8);

const limits = ({ device, onPart }: Bench) => benchLimits(device, { samples: LIMIT_SAMPLES, onPart });

async function conv({ device, options, peers, onPart }: Bench, ceilings: readonly LimitResult[]): Promise<ConvOutcome> {
  const { batchSize = 8, samples = SAMPLES } = options;
  const alone = await benchConv(device, { shapes: options.shapes, batchSize, samples, peers, onShape: onPart });
  const shapes = peers && hasTorch() ? await addTorchConv(alone, torchOptions(device, samples, onPart)) : alone;
  const smallest = peers && smallestRatios<ConvPass, ConvResult>(shapes, r => shapeTitle(r.sizes, batchSize));
  return { suite: 'conv', ok: true, batchSize, shapes, ...(smallest ? { smallest } : {}), limits: ceilings };
}

async function norm({ device, options, peers, onPart }: Bench, ceilings: readonly LimitResult[]): Promise<NormOutcome> {
  const { batchSize = 8, samples = SAMPLES } = options;
  const shapes = await benchNorm(device, { batchSize, samples, peers, onShape: onPart });
  const smallest = peers && smallestRatios<NormPass, NormResult>(shapes, r => r.shape);
  return { suite: 'norm', ok: true, batchSize, shapes, ...(smallest ? { smallest } : {}), limits: ceilings };
}

async function step({ device, options, peers, onPart }: Bench): Promise<StepOutcome> {
  const { arch, width = 64, trainStep, density, sparseInit, profile, samples = STEP_SAMPLES } = options;
  const batchSize = options.batchSize ?? usualBatch(device);
  const training = { arch, width, batchSize, attackSteps: trainStep, density, sparseInit };
  const result = await benchStep(device, { ...training, samples, profile, peers, onStep: onPart });
  const masked = density === undefined ? {} : { sparseInit };
  const outcome: StepOutcome = { suite: 'step', ok: true, arch, width, batchSize, trainStep, ...masked, ...result };
  return peers && hasTorch() ? addTorchStep(outcome, torchOptions(device, samples, onPart)) : outcome;
}

const torchOptions = (device: Device, samples: number, onPart: Bench['onPart']) => ({
  samples,
  adapter: device.adapter,
  onPart: (part: string) => onPart(part, 0, 1),
});
