/**
 * Stages of attacks on many samples: every run gets only the samples that no run before it has fooled, packed anew into full batches.
 */
import type { Random } from '../tensor/philox.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Stage } from './autoattack.ts';
import type { Pace } from './batch.ts';
import type { Forward } from './pgd.ts';

/** Images [N, C, H, W] in [0, 1] and int32 labels [N]. */
export interface LabelledImages {
  images: Tensor;
  labels: Tensor;
}

export interface SurvivorHooks {
  /** After each run, with the stage's name, the runs done and those of the stage, and how many samples are left. */
  onRun?(stage: string, done: number, total: number, survivors: number): void;
  /** Between the steps of a run, such as `apgd-t 3/9`: samples done, counting a batch in part, and those of the run. */
  onStep?(run: string, done: number, total: number): Promise<void> | void;
  /** The images of a batch that attacked `indices`; the tensor is valid until the returned promise resolves. */
  onBatch?(indices: readonly number[], adv: Tensor, fooled: readonly boolean[]): Promise<void> | void;
}

/** Samples of a batch: full ones, and the last one the next power of two, so that kernels are made for few sizes. */
export function packedSize(left: number, batchSize: number): number {
  return Math.min(batchSize, 2 ** Math.ceil(Math.log2(left)));
}

/**
 * Runs stages on samples.
 * @param load makes the batch of some samples by index; an index may occur several times
 * @param survivors indices of the samples to attack: those that the model classifies correctly
 * @returns the indices that no attack fooled, in their order
 */
export async function attackSurvivors(
  forward: Forward,
  load: (indices: readonly number[]) => LabelledImages,
  survivors: readonly number[],
  stages: readonly Stage[],
  batchSize: number,
  random: Random,
  hooks: SurvivorHooks = {},
): Promise<number[]> {
  let left = [...survivors];
  for (const { name, runs } of stages) {
    for (const [r, run] of runs.entries()) {
      const next: number[] = [];
      const label = runs.length > 1 ? `${name} ${r + 1}/${runs.length}` : name;
      for (let at = 0; at < left.length; at += batchSize) {
        const indices = left.slice(at, at + batchSize);
        const size = packedSize(indices.length, batchSize);
        const { images, labels } = load(Array.from({ length: size }, (_, i) => indices[i % indices.length]));
        const pace: Pace = (done, total) => hooks.onStep?.(label, at + (indices.length * done) / total, left.length);
        const { adv, fooled } = await run(forward, images, labels, random, pace);
        const flags = Array.from((await fooled.floats()).subarray(0, indices.length), v => v !== 0);
        await hooks.onBatch?.(indices, adv, flags);
        next.push(...indices.filter((_, i) => !flags[i]));
        for (const t of [images, labels, adv, fooled]) t.dispose();
      }
      left = next;
      hooks.onRun?.(name, r + 1, runs.length, left.length);
    }
  }
  return left;
}
