/** Tuning a model: every pass of every convolution that its training meets is measured, and what is the fastest is kept for later runs. */
import { mean } from '../autograd/reduce.ts';
import { grad, track } from '../autograd/tape.ts';
import type { Device } from '../device/index.ts';
import { type Choice, choicesOf, saveChoices } from '../kernels/choices.ts';
import { type ConvWork, convKey, convolutionsIn } from '../kernels/conv-choices.ts';
import { convMacs, tuneConvolution } from '../kernels/conv-tuner.ts';
import { capture, empty } from '../tensor/tensor.ts';
import type { Module } from './module.ts';

export interface TuneOptions {
  /** Seconds after which no further measurement begins. */
  readonly budget?: number;
  /** Whether what is known from before is measured once more. */
  readonly again?: boolean;
  /** Before each measurement: what it is of, and how many are done. */
  onWork?(work: ConvWork, done: number, total: number): void;
}

/** One pass of one convolution after tuning. */
export interface TunedConvolution extends ConvWork {
  /** `left` where the budget ended before it: its default stays. */
  readonly state: 'measured' | 'known' | 'left';
  readonly choice?: Choice;
  /** Candidates that the adapter refused, with the reasons. */
  readonly refused: readonly string[];
}

/**
 * Measures the convolutions of a training step of a model, and keeps each result at once. The device uses them from then on; a device that is opened
 * later after `loadChoices`. Nothing else may run on the device meanwhile.
 * @param shape [N, C, H, W] of a batch: results hold for exactly these sizes
 * @throws SparrowError where the cache cannot be written, before anything is measured
 */
export async function tuneModel(
  device: Device,
  model: Module,
  shape: readonly number[],
  options: TuneOptions = {},
): Promise<TunedConvolution[]> {
  const { budget = Number.POSITIVE_INFINITY, again = false, onWork } = options;
  saveChoices(device);
  const works = convolutionsOf(device, model, shape);
  const end = performance.now() + 1000 * budget;
  const results: TunedConvolution[] = [];
  for (const work of works) {
    const known = choicesOf(device).get(convKey(work));
    if (known && !again) results.push({ ...work, state: 'known', choice: known, refused: [] });
    else if (performance.now() >= end) results.push({ ...work, state: 'left', refused: [] });
    else {
      onWork?.(work, results.length, works.length);
      const { variant, best, default: byDefault, refused } = await tuneConvolution(device, work);
      saveChoices(device);
      results.push({ ...work, state: 'measured', choice: { variant, best, default: byDefault }, refused });
    }
  }
  return results;
}

/**
 * The passes of a training step, each once: forward, gradients by weights and by the pixels. They are recorded, not run. The most work comes first, and
 * weight gradients last, which an adversarial step computes once and the others once an iteration of the attack.
 */
function convolutionsOf(device: Device, model: Module, shape: readonly number[]): ConvWork[] {
  const found = convolutionsIn(() => {
    capture(device, () => {
      const x = track(empty(device, shape));
      const y = model.evaluating(() => model.forward(x)); // the convolutions are the same, and one image of one position will do
      grad(mean(y), [x, ...model.parameters().values()]);
    }).dispose();
  });
  const late = (work: ConvWork) => Number(work.pass === 'weight gradient');
  return found.sort((a, b) => late(a) - late(b) || convMacs(b) - convMacs(a));
}
