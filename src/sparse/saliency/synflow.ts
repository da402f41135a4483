/**
 * SynFlow (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow"): with the absolute values of all weights
 * and buffers, in eval mode, R = Σ f(1) for an image of ones; a weight's score is |w|·dR/d|w|. In 100 steps the density falls as p^(k/100): each step scores
 * what is left and keeps the largest. Scores are those of R times a number, the same for all weights of a step, as R itself leaves the range of float32 in
 * deep networks: see flow.ts.
 */
import * as F from '../../autograd/index.ts';
import { SparrowError } from '../../errors.ts';
import type { Module } from '../../nn/module.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { copyInto } from '../../tensor/shape.ts';
import { ones, scope, type Tensor } from '../../tensor/tensor.ts';
import { Flow } from './flow.ts';
import { globalCount, keepLargest, preserving, type Scores, totals } from './scores.ts';

export const SYNFLOW_STEPS = 100;

/**
 * The scores of the last step, times a number; weights that went before have 0.
 * @param shape [C, H, W] of an image @throws SparrowError where the flow leaves the range of float32 all the same: weights are huge, or not numbers
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
  return preserving(model, async () => {
    model.eval();
    for (const t of model.state().values()) scope(device, () => copyInto(elementwise('abs', [t]), t));
    const flow = new Flow(model, ones(device, [1, ...shape]));
    const scoreNow = (): Tensor[] =>
      scope(device, () => {
        const gradients = F.grad(flow.sum(), parameters);
        return gradients.map((g, i) => elementwise('abs', [elementwise('mul', [parameters[i], g])]));
      });
    try {
      for (let step = 1; ; step++) {
        const found = scoreNow();
        const scores = new Map([...weights.keys()].map((name, i) => [name, found[i]]));
        await assertFinite(scores);
        if (step === steps) return scores;
        const masks = keepLargest(scores, globalCount(total, density ** (step / steps)));
        for (const [name, w] of weights) {
          scope(device, () => copyInto(elementwise('mul', [w, masks.get(name)!]), w));
          masks.get(name)!.dispose();
          scores.get(name)!.dispose();
        }
      }
    } finally {
      flow.dispose();
    }
  });
}

async function assertFinite(scores: Scores): Promise<void> {
  for (const [name, sum] of await totals(scores))
    if (!Number.isFinite(sum))
      throw new SparrowError(
        `--sparse-init synflow: the flow through ${name} leaves the range of float32; check the weights of --init, or use another --sparse-init`,
      );
}
