/**
 * MART (Wang et al. 2020, "Improving Adversarial Robustness Requires Revisiting Misclassified Examples"). x' as in TRADES, but ascending the
 * cross-entropy; with p = softmax f(x) and p' = softmax f(x')
 *
 *   loss = BCE(p', y) + beta·KL(p ‖ p')·(1 - p_y),   BCE(p', y) = CE(f(x'), y) - log(1.0001 - max_{j != y} p'_j)
 *
 * The constants are those of the authors' program: they keep the logarithm finite.
 */
import * as F from '../../autograd/index.ts';
import { oneHot } from '../../tensor/index.ts';
import { full, type Tensor } from '../../tensor/tensor.ts';
import { ascend } from './ascent.ts';
import type { TrainingMode } from './mode.ts';

/** The loss of each sample from logits [N, K] of clean and of attacked images: [N]. */
export function martLosses(clean: Tensor, attacked: Tensor, labels: Tensor, beta: number, smoothing = 0): Tensor {
  const own = oneHot(labels, clean.shape[1]);
  const others = F.where(own, full(clean.device, [1, 1], 0), F.softmax(attacked));
  const wrong = F.max(others, { axes: [1] });
  const boosted = F.sub(F.crossEntropy(attacked, labels, { reduction: 'none', smoothing }), F.log(F.add(F.neg(wrong), 1.0001)));
  const right = F.labelLogit(F.softmax(clean), labels);
  const weight = F.add(F.neg(right), 1.0000001);
  return F.add(boosted, F.mul(F.mul(F.klDivergence(clean, attacked, 'none'), weight), beta));
}

export const mart: TrainingMode = {
  step(context, images, labels) {
    const { model, settings, gradients, descend } = context;
    const adv = ascend(context, images, labels, (logits, y) => F.crossEntropy(logits, y, { reduction: 'sum' }));
    const clean = model.forward(images);
    const attacked = model.forward(adv);
    const losses = martLosses(clean, attacked, labels, settings.beta, settings.smoothing);
    descend(losses, attacked, gradients(losses));
  },
  passes: steps => 6 + 2 * steps,
  passesText: '6 + 2·attack steps',
};
