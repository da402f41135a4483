/** Standard training: the cross-entropy of clean images. */
import * as F from '../../autograd/index.ts';
import type { TrainingMode } from './mode.ts';

export const sgd: TrainingMode = {
  step({ model, settings, gradients, descend }, images, labels) {
    const logits = model.forward(images);
    const losses = F.crossEntropy(logits, labels, { reduction: 'none', smoothing: settings.smoothing });
    descend(losses, logits, gradients(losses));
  },
  passes: () => 3,
  passesText: '3',
};
