/**
 * Adversarial weight perturbation (Wu et al. 2020), on adversarial training. On the attacked images x' of PGD, for every convolution and linear weight
 *
 *   v = gamma·‖w‖·g/‖g‖,  g = dCE(f_w(x'), y)/dw;      w <- w - lr·SGD(dCE(f_{w+v}(x'), y)/dw)
 *
 * norms by layer. Under a mask g is masked first, so that w + v is as sparse as w. The running statistics move in the second forward pass only; weight
 * decay acts on w.
 */
import { pgd as attackPgd } from '../../adv/pgd.ts';
import * as F from '../../autograd/index.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { sum } from '../../tensor/reduce.ts';
import { copyInto } from '../../tensor/shape.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';
import type { TrainingMode } from './mode.ts';

/** Added to ‖g‖: a gradient of zero perturbs nothing. */
const TINY = 1e-20;

const length = (t: Tensor) => elementwise('sqrt', [sum(elementwise('square', [t]))]);

/** gamma·‖w‖·g/‖g‖. */
export function weightPerturbation(w: Tensor, g: Tensor, gamma: number): Tensor {
  const scale = elementwise('div', [length(w), elementwise('addScalar', [length(g)], [TINY])]);
  return elementwise('mul', [g, elementwise('mulScalar', [scale], [gamma])]);
}

export const awp: TrainingMode = {
  step({ model, attack, settings, random, draw, masks, gradients, descend }, images, labels) {
    const { device } = images;
    const losses = (logits: Tensor) => F.crossEntropy(logits, labels, { reduction: 'none', smoothing: settings.smoothing });
    const adv = attackPgd(x => model.forward(x), images, labels, attack, random, draw);
    const weights = [...model.parameters()].filter(([, p]) => p.rank > 1);
    const parameters = new Set<Tensor>(model.parameters().values());
    const buffers = [...model.state().values()].filter(t => !parameters.has(t));
    const before = [...weights.map(([, w]) => w), ...buffers].map(t => ({ t, was: elementwise('copy', [t]) }));
    scope(device, () => {
      const found = gradients(losses(model.forward(adv)));
      for (const [name, w] of weights) {
        const mask = masks.get(name);
        const g = mask ? elementwise('mul', [found.get(name)!, mask]) : found.get(name)!;
        copyInto(elementwise('add', [w, weightPerturbation(w, g, settings.awpGamma)]), w);
      }
    });
    for (const { t, was } of before.slice(weights.length)) copyInto(was, t);
    const logits = model.forward(adv);
    const perturbed = losses(logits);
    const found = gradients(perturbed);
    for (const { t, was } of before.slice(0, weights.length)) copyInto(was, t);
    descend(perturbed, logits, found);
  },
  passes: steps => 6 + 2 * steps,
  passesText: '6 + 2·attack steps',
};
