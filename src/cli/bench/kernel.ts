/** `sparrow bench --kernel`: a kernel file against its reference, and its timing. */
import { type Device, ValidationError } from '../../device/index.ts';
import { SparrowError, UsageError } from '../../errors.ts';
import { capture, type Tensor, tensor } from '../../tensor/tensor.ts';
import type { KernelCase } from './case.ts';
import { attackCases } from './cases-attacks.ts';
import { productCases } from './cases-conv.ts';
import { limitCases } from './cases-limits.ts';
import { trainingCases } from './cases-training.ts';
import { valueCases } from './cases-values.ts';
import { type Timing, time } from './time.ts';

const cases: Readonly<Record<string, readonly KernelCase[]>> = {
  ...productCases,
  ...valueCases,
  ...trainingCases,
  ...attackCases,
  ...limitCases,
};

/** The kernel files that have cases: the name of `src/kernels/wgsl/NAME.wgsl`. */
export const kernelNames: readonly string[] = Object.keys(cases).sort();

export interface KernelResult {
  readonly title: string;
  readonly ok: boolean;
  /** Largest error relative to the largest magnitude of the output, and what is allowed. */
  readonly error: number;
  readonly tolerance: number;
  readonly timing: Timing;
  readonly unit: 'GFLOP/s' | 'GB/s';
  /** In `unit`, at the median, the slowest and the fastest sample. */
  readonly rate: { readonly median: number; readonly min: number; readonly max: number };
}

export interface KernelOptions {
  /** Leaves the large cases out. */
  readonly small: boolean;
  readonly samples: number;
  onCase?(title: string, done: number, total: number): void;
}

/** @throws UsageError for a kernel without cases, naming those that have some */
export function checkKernelName(name: string): void {
  if (!Object.hasOwn(cases, name)) throw new UsageError(`--kernel must be one of ${kernelNames.join(', ')}, got '${name}'`);
}

/**
 * Runs every case of a kernel.
 * @throws UsageError for an unknown kernel; SparrowError where the adapter lacks what it needs, and naming the file of a kernel that does not compile
 */
export async function benchKernel(device: Device, name: string, options: KernelOptions): Promise<KernelResult[]> {
  checkKernelName(name);
  const results: KernelResult[] = [];
  const chosen = cases[name].filter(c => c.size === 'small' || !options.small);
  if (!device.adapter.matrixUnits && chosen.some(c => c.matrixUnits))
    throw new SparrowError(`--kernel ${name}: the adapter has no matrix units; run it on a GPU that has (sparrow adapters)`);
  for (const one of chosen) {
    options.onCase?.(one.title, results.length, chosen.length);
    try {
      results.push(await runCase(device, one, options.samples));
    } catch (error) {
      throw kernelError(error as Error);
    }
  }
  return results;
}

async function runCase(device: Device, one: KernelCase, samples: number): Promise<KernelResult> {
  const given = one.inputs();
  const inputs = given.map(i => tensor(device, i.values, i.shape, i.dtype));
  const step = capture(device, () => one.launch(device, inputs));
  try {
    await step.capture.ready();
    const error = await errorOf(step.run(), one.reference(given.map(i => i.values)));
    const timing = await time(device, () => step.run(), samples);
    const [amount, unit] = 'flops' in one.work ? [one.work.flops, 'GFLOP/s' as const] : [one.work.bytes, 'GB/s' as const];
    const rate = (milliseconds: number) => amount / milliseconds / 1e6;
    return {
      title: one.title,
      ok: error <= one.tolerance,
      error,
      tolerance: one.tolerance,
      timing,
      unit,
      rate: { median: rate(timing.median), min: rate(timing.max), max: rate(timing.min) },
    };
  } finally {
    step.dispose();
    for (const t of inputs) t.dispose();
  }
}

/** The worst of the outputs; a NaN on either side is an infinite error. */
async function errorOf(outputs: readonly Tensor[], expected: readonly ArrayLike<number>[]): Promise<number> {
  let worst = 0;
  for (const [k, t] of outputs.entries()) {
    const actual = await t.data();
    let error = 0;
    let largest = 0;
    for (let i = 0; i < expected[k].length; i++) {
      const difference = Math.abs(actual[i] - expected[k][i]);
      error = Math.max(error, Number.isNaN(difference) ? Infinity : difference);
      largest = Math.max(largest, Math.abs(expected[k][i]));
    }
    worst = Math.max(worst, error && error / (largest || 1));
  }
  return worst;
}

/** A kernel's own fault as one line that names its file; anything else as it is. */
function kernelError(error: Error): Error {
  if (error instanceof ValidationError && error.kernel) {
    const file = error.kernel.split('.')[0];
    const reason = /error:.*/.exec(error.message)?.[0] ?? error.message.split('\n')[0];
    return new SparrowError(`src/kernels/wgsl/${file}.wgsl: ${reason} (${error.kernel})`);
  }
  const template = /^\w+\.wgsl.*/.exec(error.message)?.[0];
  return template && !(error instanceof SparrowError) ? new SparrowError(`src/kernels/wgsl/${template}`) : error;
}
