/** Input saliency (Simonyan et al. 2014, "Deep Inside Convolutional Networks", section 3): how much a pixel moves the logit of a class. */
import { type AttackLoss, type Forward, inputGradient } from '../../adv/pgd.ts';
import * as F from '../../autograd/index.ts';
import { scope, type Tensor } from '../../tensor/tensor.ts';

/** The logits of the given classes, summed: a pixel moves only its own image's. */
const classLogits: AttackLoss = (logits, classes) => F.sum(F.labelLogit(logits, classes));

/**
 * max over channels of |∂z_class/∂pixel|, [N, H, W].
 * @param x [N, C, H, W] in [0, 1] @param classes int32 [N]
 */
export async function saliency(forward: Forward, x: Tensor, classes: Tensor): Promise<Float32Array> {
  const map = scope(x.device, () => F.noGrad(() => F.max(F.abs(inputGradient(forward, x, classes, classLogits)), { axes: [1] })));
  const values = await map.floats();
  map.dispose();
  return values;
}
