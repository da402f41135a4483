/**
 * SynFlow (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow"): with the absolute values of all weights
 * and buffers, in eval mode, R = Σ f(1) for an image of ones; a weight's score is |w|·dR/d|w|. In 100 steps the density falls as p^(k/100): each step scores
 * what is left and keeps the largest.
 */
import * as F from '../../autograd/index.ts';
import { SparrowError } from '../../errors.ts';
import type { Module } from '../../nn/module.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { sum } from '../../tensor/reduce.ts';
import { copyInto } from '../../tensor/shape.ts';
import { ones, scope, type Tensor } from '../../tensor/tensor.ts';
import { globalCount, keepLargest, preserving, type Scores } from './scores.ts';

export const SYNFLOW_STEPS = 100;

/**
 * The scores of the last step; weights that went before have 0.
 * @param shape [C, H, W] of an image @throws SparrowError where the flow through a deep network leaves the range of float32
 */
export function synflowScores(
  model: Module,
  weights: ReadonlyMap<string, Tensor>,
  shape: readonly number[],
  density: number,
  steps = SYNFLOW_STEPS,
): Promise<Scores> {
  const parameters = [...weights.values()];
  const { device } = parameters[0];
  const total = parameters.reduce((n, w) => n + w.size, 0);
  const scoreNow = (): Tensor[] =>
    scope(device, () => {
      const flow = F.sum(model.forward(ones(device, [1, ...shape])));
      return F.grad(flow, parameters).map((g, i) => elementwise('abs', [elementwise('mul', [parameters[i], g])]));
    });
  return preserving(model, async () => {
    model.eval();
    for (const t of model.state().values()) scope(device, () => copyInto(elementwise('abs', [t]), t));
    for (let step = 1; ; step++) {
      const found = scoreNow();
      const scores = new Map([...weights.keys()].map((name, i) => [name, found[i]]));
      if (step === steps) {
        await assertFinite(scores);
        return scores;
      }
      const masks = keepLargest(scores, globalCount(total, density ** (step / steps)));
      for (const [name, w] of weights) {
        scope(device, () => copyInto(elementwise('mul', [w, masks.get(name)!]), w));
        masks.get(name)!.dispose();
        scores.get(name)!.dispose();
      }
    }
  });
}

async function assertFinite(scores: Scores): Promise<void> {
  for (const [name, t] of scores) {
    const total = scope(t.device, () => sum(t));
    const finite = Number.isFinite(await total.item());
    total.dispose();
    if (!finite)
      throw new SparrowError(
        `synflow: the flow through ${name} leaves the range of float32; use another --sparse-init for this network`,
      );
  }
}
