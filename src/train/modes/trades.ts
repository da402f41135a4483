/**
 * TRADES (Zhang et al. 2019). In eval mode x' ascends KL(softmax f(x) ‖ softmax f(x')); then in train mode
 *
 *   loss = CE(f(x), y) + beta·KL(softmax f(x) ‖ softmax f(x'))
 *
 * the mean over the batch, with the gradient flowing through both terms and both arguments of the divergence. The clean and the attacked images
 * are two forward passes: each has its own batch statistics.
 */
import * as F from '../../autograd/index.ts';
import { ascend } from './ascent.ts';
import type { TrainingMode } from './mode.ts';

export const trades: TrainingMode = {
  step(context, images, labels) {
    const { model, settings, gradients, descend } = context;
    model.eval();
    const natural = F.noGrad(() => model.forward(images));
    const adv = ascend(context, images, labels, logits => F.klDivergence(natural, logits));
    const clean = model.forward(images);
    const attacked = model.forward(adv);
    const natureLosses = F.crossEntropy(clean, labels, { reduction: 'none', smoothing: settings.smoothing });
    const losses = F.add(natureLosses, F.mul(F.klDivergence(clean, attacked, 'none'), settings.beta));
    descend(losses, attacked, gradients(losses));
  },
  passes: steps => 7 + 2 * steps,
  passesText: '7 + 2·attack steps',
};
