/** What scores of all weights are, and the choice of the largest among all layers together. */
import type { Module } from '../../nn/module.ts';
import { sum } from '../../tensor/reduce.ts';
import { selectMasks } from '../../tensor/select.ts';
import { concat, copyInto, slice } from '../../tensor/shape.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';

/** A number for every masked weight, by parameter name; the caller disposes of them. */
export type Scores = ReadonlyMap<string, Tensor>;

/** Images [N, C, H, W] and int32 labels [N] that a score is computed on. */
export interface Sample {
  readonly images: Tensor;
  readonly labels: Tensor;
}

/** Masks by parameter name: 1 for the `keep` largest scores of all layers together. Ties: the earlier layer, then the lower index. */
export function keepLargest(scores: Scores, keep: number): Map<string, Tensor> {
  const chosen = selectMasks([...scores.values()], keep);
  return new Map([...scores.keys()].map((name, i) => [name, chosen[i]]));
}

/** The sum of each tensor, by name. Reads back once. */
export async function totals(tensors: ReadonlyMap<string, Tensor>): Promise<Map<string, number>> {
  const { device } = [...tensors.values()][0];
  const sums = scope(device, () => concat([...tensors.values()].map(t => sum(t).reshape([1]))));
  const values = await sums.floats();
  sums.dispose();
  return new Map([...tensors.keys()].map((name, i) => [name, values[i]]));
}

/** Weights that `density` keeps of all: n - int((1 - density)·n), as a layer does. */
export function globalCount(total: number, density: number): number {
  return total - Math.trunc((1 - density) * total);
}

/** Runs `work` and puts every parameter and buffer, and the mode, back as they were. */
export async function preserving<T>(model: Module, work: () => Promise<T>): Promise<T> {
  const { device } = [...model.parameters().values()][0];
  const before = [...model.state().values()].map(t => {
    const was = scope(device, () =>
      slice(
        t,
        t.shape.map(() => 0),
        t.shape,
      ),
    ).keep();
    return { t, was };
  });
  const { training } = model;
  try {
    return await work();
  } finally {
    for (const { t, was } of before) {
      copyInto(was, t);
      was.dispose();
    }
    model.train(training);
  }
}
