/**
 * Free adversarial training (Shafahi et al. 2019): one perturbation that outlives its batch, and m updates on each batch. One backward pass serves both:
 *
 *   g_w, g_d = dCE(f(clip(x + d)), y)/d(w, d);   w <- SGD(g_w);   d <- clamp(d + eps·sign g_d, -eps, eps)
 *
 * so an epoch does the work of m epochs, and a run wants m times fewer. A smaller last batch uses and moves the first rows of d. Linf only.
 */
import * as F from '../../autograd/index.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { concat, copyInto, slice } from '../../tensor/shape.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';
import type { TrainingMode } from './mode.ts';

/** Replaces the first rows of `whole` in place. */
function writeRows(rows: Tensor, whole: Tensor): void {
  const [n, all] = [rows.shape[0], whole.shape[0]];
  const rest = whole.shape.slice(1);
  const behind = () => slice(whole, [n, ...rest.map(() => 0)], [all - n, ...rest]);
  copyInto(n === all ? rows : concat([rows, behind()]), whole);
}

export const free: TrainingMode = {
  step({ model, attack, settings, state, descend }, images, labels) {
    const perturbation = state.get('perturbation')!;
    const parameters = model.parameters();
    const replay = () => {
      const d = F.track(slice(perturbation, [0, 0, 0, 0], images.shape));
      const logits = model.forward(F.clamp(F.add(images, d), 0, 1));
      const losses = F.crossEntropy(logits, labels, { reduction: 'none', smoothing: settings.smoothing });
      const [byD, ...byParameter] = F.grad(F.mean(losses), [d, ...parameters.values()]);
      const moved = elementwise('axpy', [d, elementwise('sign', [byD])], [attack.eps]);
      writeRows(elementwise('clamp', [moved], [-attack.eps, attack.eps]), perturbation);
      descend(losses, logits, new Map([...parameters.keys()].map((name, i) => [name, byParameter[i]])));
    };
    for (let i = 1; i < settings.replays; i++) scope(images.device, replay);
    replay(); // outside of a scope: a mask update may look at the last gradients
  },
  passes: (_, { replays }) => 3 * replays,
  passesText: '3·replays',
  updates: ({ replays }) => replays,
  state: shape => ({ perturbation: shape }),
};
