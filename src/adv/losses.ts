/** What attacks ascend, sample by sample: from logits [N, K] and int32 labels [N] to losses [N]. */
import * as F from '../autograd/index.ts';
import { SparrowError } from '../errors.ts';
import { topK } from '../tensor/rows.ts';
import { slice } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

export type SampleLoss = (logits: Tensor, labels: Tensor) => Tensor;

/** Classes that the difference of logits ratio needs: its targeted form ranks four logits. */
const DLR_CLASSES = 4;

/** Cross-entropy. */
export const ceLoss: SampleLoss = (logits, labels) => F.crossEntropy(logits, labels, { reduction: 'none' });

/**
 * The difference of logits ratio, which no rescaling of the logits changes (Croce and Hein 2020, section 4):
 * -(z_y - max_{i != y} z_i)/(z_p1 - z_p3 + 1e-12), p the classes by falling logit. @throws SparrowError below four classes
 */
export const dlrLoss: SampleLoss = (logits, labels) => {
  const [first, , third] = ranked(logits, 3);
  return F.div(F.margin(logits, labels), F.add(F.sub(first, third), 1e-12));
};

/** The targeted ratio for int32 `targets` [N]: -(z_y - z_t)/(z_p1 - (z_p3 + z_p4)/2 + 1e-12). @throws SparrowError below four classes */
export const targetedDlrLoss =
  (targets: Tensor): SampleLoss =>
  (logits, labels) => {
    const [first, , third, fourth] = ranked(logits, 4);
    const scale = F.sub(first, F.mul(F.add(third, fourth), 0.5));
    return F.div(F.sub(F.labelLogit(logits, targets), F.labelLogit(logits, labels)), F.add(scale, 1e-12));
  };

/** The `count` largest logits of each row, each [N]. */
function ranked(logits: Tensor, count: number): Tensor[] {
  const [n, classes] = logits.shape;
  checkClasses(classes);
  const sorted = F.gather(logits, topK(logits, count).indices, 1);
  return Array.from({ length: count }, (_, k) => F.reshape(F.slice(sorted, [0, k], [n, 1]), [n]));
}

/** @throws SparrowError where a model has too few classes for the DLR loss */
export function checkClasses(classes: number): void {
  if (classes >= DLR_CLASSES) return;
  throw new SparrowError(`the DLR loss needs at least ${DLR_CLASSES} classes, the model has ${classes}: attack with apgd-ce`);
}

/** The class that stands at `rank` (0: the largest logit) of each row, int32 [N]. */
export function classAtRank(logits: Tensor, rank: number): Tensor {
  const n = logits.shape[0];
  return slice(topK(logits, rank + 1).indices, [0, rank], [n, 1]).reshape([n]);
}
