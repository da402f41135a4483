/**
 * SNIP (Lee et al. 2019): the sensitivity of the loss to a connection, |dL/dm| at m = 1 = |w·dL/dw|, L the mean cross-entropy of the samples with batch
 * statistics.
 */
import * as F from '../../autograd/index.ts';
import type { Module } from '../../nn/module.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';
import { preserving, type Sample, type Scores } from './scores.ts';

/** Names with the gradients of Σ_batches CE(f(x)/temperature, y), each batch's the mean over it. */
export function summedGradients(
  model: Module,
  weights: ReadonlyMap<string, Tensor>,
  samples: readonly Sample[],
  temperature: number,
): Tensor[] {
  const { device } = samples[0].images;
  let total: Tensor[] | undefined;
  for (const { images, labels } of samples) {
    const before = total;
    total = scope(device, () => {
      const logits = F.mul(model.forward(images), 1 / temperature);
      const found = F.grad(F.crossEntropy(logits, labels), [...weights.values()]);
      return before ? found.map((g, i) => elementwise('add', [before[i], g])) : found;
    });
    for (const t of before ?? []) t.dispose();
  }
  return total!;
}

export function snipScores(model: Module, weights: ReadonlyMap<string, Tensor>, samples: readonly Sample[]): Promise<Scores> {
  return preserving(model, async () => {
    model.train();
    const gradients = summedGradients(model, weights, samples, 1);
    const scores = new Map<string, Tensor>();
    [...weights].forEach(([name, w], i) => {
      scores.set(
        name,
        scope(w.device, () => elementwise('abs', [elementwise('mul', [w, gradients[i]])])),
      );
      gradients[i].dispose();
    });
    return scores;
  });
}
