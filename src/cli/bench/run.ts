/** `sparrow bench` behind its flags: opens the device, runs what was asked for, and closes everything. */

import type { AdapterKind, KernelTime } from '../../device/index.ts';
import { openDevice } from '../../device/index.ts';
import { SparrowError } from '../../errors.ts';
import type { Progress } from '../../train/api.ts';
import { benchConv, type ConvResult } from './conv.ts';
import { benchKernel, checkKernelName, type KernelResult } from './kernel.ts';
import { benchMemory, type MemoryResult } from './memory.ts';
import { checkPeer, openPeer } from './peer.ts';
import { type Circumstances, circumstances } from './record.ts';

export interface BenchOptions {
  readonly kernel?: string | undefined;
  readonly suite?: 'conv' | 'memory' | undefined;
  readonly small: boolean;
  readonly samples: number;
  readonly width: number;
  readonly batchSize: number;
  readonly steps: number;
  readonly trainStep: number;
  readonly peers: boolean;
  readonly profile: boolean;
  readonly adapter: AdapterKind;
  readonly gpu: string;
}

export type BenchOutcome = Circumstances & { readonly profile?: readonly KernelTime[] } & (
    | { readonly kernel: string; readonly ok: boolean; readonly cases: readonly KernelResult[] }
    | {
        readonly suite: 'conv';
        readonly ok: true;
        readonly batchSize: number;
        readonly peer?: string;
        readonly shapes: readonly ConvResult[];
      }
    | ({
        readonly suite: 'memory';
        readonly width: number;
        readonly batchSize: number;
        readonly trainStep: number;
      } & MemoryResult)
  );

/**
 * @throws UsageError for an unknown kernel, before a device is opened
 */
export async function runBench(options: BenchOptions, onProgress: (progress: Progress) => void): Promise<BenchOutcome> {
  if (options.kernel !== undefined) checkKernelName(options.kernel);
  if (options.peers) checkPeer();
  const device = await openDevice({ adapter: options.adapter, ...(options.gpu !== '0' ? { gpu: options.gpu } : {}) });
  const where = circumstances(device.adapter);
  const onPart = (label: string, done: number, total: number) => onProgress({ label, done, total });
  const { batchSize, samples, width, trainStep } = options;
  try {
    if (options.profile && !device.profiler.available)
      throw new SparrowError(`--profile: ${device.adapter.description || device.adapter.kind} has no timestamp queries`);
    if (options.profile) device.profiler.start();
    const profiled = () => (options.profile ? { profile: device.profiler.report() } : {});
    if (options.kernel !== undefined) {
      const cases = await benchKernel(device, options.kernel, { small: options.small, samples, onCase: onPart });
      return { ...where, kernel: options.kernel, ok: cases.every(c => c.ok), cases };
    }
    if (options.suite === 'memory') {
      const onStep = (step: number) => onPart('training step', step, options.steps);
      const result = await benchMemory(device, { width, batchSize, steps: options.steps, attackSteps: trainStep, onStep });
      return { ...where, suite: 'memory', width, batchSize, trainStep, ...result, ...profiled() };
    }
    const peer = options.peers ? await openPeer() : undefined;
    try {
      const shapes = await benchConv(device, { batchSize, samples, peer, onShape: onPart });
      return { ...where, suite: 'conv', ok: true, batchSize, ...(peer ? { peer: peer.name } : {}), shapes, ...profiled() };
    } finally {
      peer?.close();
    }
  } finally {
    device.close();
  }
}
