/** The attack that `trades` and `mart` share: PGD in eval mode from a small normal perturbation instead of a random point of the ball. */
import { type AttackLoss, inputGradient, projectedStep } from '../../adv/pgd.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { randomNormal } from '../../tensor/random.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';
import type { StepContext } from './mode.ts';

/** Deviation of the start. */
const NOISE = 0.001;

/** d0 ~ .001·N(0, 1); d <- project(d + stepSize·sign(dloss/dx)); the last x + d, [N, C, H, W]. The model is left in train mode. */
export function ascend({ model, attack, random, draw }: StepContext, images: Tensor, labels: Tensor, loss: AttackLoss): Tensor {
  const { device, shape } = images;
  model.eval();
  let at = scope(device, () => {
    const d = randomNormal(device, shape, random, 0, NOISE, draw);
    return { d, adv: elementwise('add', [images, d]) };
  });
  for (let i = 0; i < attack.steps; i++) {
    const { d, adv } = at;
    at = scope(device, () => {
      const g = inputGradient(x => model.forward(x), adv, labels, loss);
      return projectedStep(images, d, g, attack);
    });
    d.dispose();
    adv.dispose();
  }
  model.train();
  at.d.dispose();
  return at.adv;
}
