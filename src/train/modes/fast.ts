/**
 * Fast adversarial training (Wong et al. 2020, "Fast is better than free"), FGSM from a random start. In eval mode:
 *
 *   d ~ U(-eps, eps);  g = dCE(clip(x + d))/dd;  d' = clamp(d + 1.25·eps·sign g, -eps, eps);  d' = clip(x + d') - x
 *
 * then in train mode a step on CE(x + d'). In L2 the start is that of PGD and the step 1.25·eps·g/‖g‖. `--train-step` and
 * `--train-gamma` do not enter.
 */
import { projectedStep, randomStart } from '../../adv/pgd.ts';
import * as F from '../../autograd/index.ts';
import { randomUniform } from '../../tensor/random.ts';
import { scope } from '../../tensor/tensor.ts';
import type { TrainingMode } from './mode.ts';

/** The step in units of eps. */
const STEP = 1.25;

export const fast: TrainingMode = {
  step({ model, attack, settings, random, draw, gradients, descend }, images, labels) {
    const { device, shape } = images;
    const { norm, eps, randomInit } = attack;
    model.eval();
    const adv = scope(device, () => {
      const radius = randomInit ? eps : 0;
      const d = F.track(
        norm === 'linf'
          ? randomUniform(device, shape, random, -radius, radius, draw)
          : randomStart(images, { norm, eps: radius }, random, draw).d,
      );
      const loss = F.crossEntropy(model.forward(F.clamp(F.add(images, d), 0, 1)), labels, { reduction: 'sum' });
      return projectedStep(images, d, F.grad(loss, [d])[0], { norm, eps, stepSize: STEP * eps }).adv;
    });
    model.train();
    const logits = model.forward(adv);
    const losses = F.crossEntropy(logits, labels, { reduction: 'none', smoothing: settings.smoothing });
    descend(losses, logits, gradients(losses));
  },
  passes: () => 5,
  passesText: '5',
};
