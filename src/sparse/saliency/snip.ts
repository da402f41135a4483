/**
 * SNIP (Lee et al. 2019): the sensitivity of the loss to a connection, |dL/dm| at m = 1 = |w·dL/dw|, L the mean cross-entropy of the samples of all batches,
 * each with its batch's statistics.
 */
import * as F from '../../autograd/index.ts';
import type { Module } from '../../nn/module.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';
import { preserving, type Sample, type Scores } from './scores.ts';

/** How many samples there are in all batches. */
export const countSamples = (samples: readonly Sample[]) => samples.reduce((n, { images }) => n + images.shape[0], 0);

/** The gradients by the weights, in their order, of the mean of CE(f(x)/temperature, y) over the samples of all batches. */
export function meanGradients(
  model: Module,
  weights: ReadonlyMap<string, Tensor>,
  samples: readonly Sample[],
  temperature: number,
): Tensor[] {
  const { device } = samples[0].images;
  const count = countSamples(samples);
  let total: Tensor[] | undefined;
  for (const { images, labels } of samples) {
    const before = total;
    total = scope(device, () => {
      const logits = F.mul(model.forward(images), 1 / temperature);
      const loss = F.mul(F.crossEntropy(logits, labels), images.shape[0] / count);
      const found = F.grad(loss, [...weights.values()]);
      return before ? found.map((g, i) => elementwise('add', [before[i], g])) : found;
    });
    for (const t of before ?? []) t.dispose();
  }
  return total!;
}

export function snipScores(model: Module, weights: ReadonlyMap<string, Tensor>, samples: readonly Sample[]): Promise<Scores> {
  return preserving(model, async () => {
    model.train();
    const gradients = meanGradients(model, weights, samples, 1);
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
