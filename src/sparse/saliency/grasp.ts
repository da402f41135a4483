/**
 * GraSP (Wang et al. 2020, "Picking Winning Tickets Before Training by Preserving Gradient Flow"): the change of ‖g‖² when a weight goes is -2·w·(Hg), so
 * the weights with the largest w·Hg stay. H is the Hessian of L, g its gradient, both by the masked weights; L is the mean of CE(f(x)/200, y) over the
 * samples of all batches, each with its batch's statistics. Hg is exact, the gradient of Σ g·dL/dw with g held fixed.
 */
import * as F from '../../autograd/index.ts';
import type { Module } from '../../nn/module.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';
import { preserving, type Sample, type Scores } from './scores.ts';
import { countSamples, meanGradients } from './snip.ts';

/** Softens the prediction, so that second derivatives do not vanish. */
export const GRASP_TEMPERATURE = 200;

export function graspScores(model: Module, weights: ReadonlyMap<string, Tensor>, samples: readonly Sample[]): Promise<Scores> {
  return preserving(model, async () => {
    model.train();
    const parameters = [...weights.values()];
    const count = countSamples(samples);
    const g = meanGradients(model, weights, samples, GRASP_TEMPERATURE);
    let product: Tensor[] | undefined;
    for (const { images, labels } of samples) {
      const before = product;
      product = scope(images.device, () => {
        const logits = F.mul(model.forward(images), 1 / GRASP_TEMPERATURE);
        const loss = F.mul(F.crossEntropy(logits, labels), images.shape[0] / count);
        const first = F.grad(loss, parameters, { createGraph: true });
        const along = first.map((d, i) => F.sum(F.mul(d, g[i]))).reduce((a, b) => F.add(a, b));
        const found = F.grad(along, parameters);
        return before ? found.map((h, i) => elementwise('add', [before[i], h])) : found;
      });
      for (const t of before ?? []) t.dispose();
    }
    const scores = new Map([...weights].map(([name, w], i) => [name, elementwise('mul', [w, product![i]])]));
    for (const t of [...g, ...product!]) t.dispose();
    return scores;
  });
}
