/**
 * Adversarial training (Madry et al. 2018):  min_w max_{‖d‖ <= eps} CE(f(x + d), y). The images are crafted in train mode, so the running
 * statistics move once a forward pass, steps + 1 times in all.
 */
import { pgd as attackPgd } from '../../adv/pgd.ts';
import * as F from '../../autograd/index.ts';
import type { TrainingMode } from './mode.ts';

export const pgd: TrainingMode = {
  step({ model, attack, settings, random, draw, gradients, descend }, images, labels) {
    const adv = attackPgd(x => model.forward(x), images, labels, attack, random, draw);
    const logits = model.forward(adv);
    const losses = F.crossEntropy(logits, labels, { reduction: 'none', smoothing: settings.smoothing });
    descend(losses, logits, gradients(losses));
  },
  passes: steps => 3 + 2 * steps,
  passesText: '3 + 2·attack steps',
};
