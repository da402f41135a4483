/**
 * The flow R = Σ f(1) of an image of ones through a network whose weights, biases and running means are not negative, in a range that float32 has.
 *
 * Nothing cancels such a flow, so it grows with every layer: to 1e42 in a ResNet-34 and to 1e169 in a ResNet-152. Therefore the output x_i of each section
 * of the network (all that follows depends on what was before through x_i alone, see `sections`) is multiplied by a number s_i that makes its largest
 * element 1, if it is larger, and the biases and running means in section i + 1 are multiplied by σ_i = s_1···s_i.
 *
 * Then R comes out as σR, σ the product of all s_i. Within a section there are sums of products with weights, sums with those shifts, ReLU, maxima and means,
 * and from it the output B(x; b). Each of these commutes with a positive factor of all that is summed, so B(σx; σb) = σB(x; b): if section i + 1 gets
 * σ_i·x_i, then with its shifts times σ_i it puts out σ_i·x_{i+1}, and σ_{i+1}·x_{i+1} is what goes on. This holds for all weights as long as the s_i
 * stay as they are. So with the s_i as constants to the gradient, d(σR)/dw = σ·dR/dw: one factor for every weight of the network.
 */
import * as F from '../../autograd/index.ts';
import type { Module } from '../../nn/module.ts';
import { replaceOutputs, type Section, sections } from '../../nn/observe.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { max } from '../../tensor/reduce.ts';
import { copyInto } from '../../tensor/shape.ts';
import { ones, scope, type Tensor } from '../../tensor/tensor.ts';

/** What is added within a section: a bias or running mean, and its value where nothing is scaled. */
interface Shift {
  readonly tensor: Tensor;
  readonly value: Tensor;
}

export class Flow {
  private readonly parts: readonly (Section & { shifts: readonly Shift[] })[];

  /**
   * @param model in eval mode, nothing of its state negative; its biases and running means change with every flow until `dispose`
   * @param images [N, C, H, W] of ones
   */
  constructor(
    private readonly model: Module,
    private readonly images: Tensor,
  ) {
    const { device, shape } = images;
    const taken = new Set<Tensor>();
    this.parts = sections(device, model, shape.slice(1)).map(section => {
      const state = section.modules.flatMap(module => [...module.state()]);
      const own = state.filter(
        ([name, tensor]) => /\b(bias|running_mean)$/.test(name) && !taken.has(tensor) && taken.add(tensor),
      );
      return {
        ...section,
        shifts: own.map(([, tensor]) => ({ tensor, value: scope(device, () => elementwise('copy', [tensor])) })),
      };
    });
  }

  /** σR of the weights as they are, differentiable by them. */
  sum(): Tensor {
    const { device } = this.images;
    const one = ones(device, []);
    const after = new Map(this.parts.map(({ end }, i) => [end, this.parts[i + 1]?.shifts ?? []]));
    let product = one;
    const scaled = (end: Module, output: Tensor) => {
      const scale = elementwise('reciprocal', [elementwise('max', [max(output), one])]);
      product = elementwise('mul', [product, scale]);
      for (const { tensor, value } of after.get(end)!) copyInto(elementwise('mul', [value, product]), tensor);
      return F.mul(output, scale);
    };
    return replaceOutputs(after.keys(), scaled, () => F.sum(this.model.forward(this.images)));
  }

  /** Gives back the images and what it took; the biases and running means keep the values of the last flow. */
  dispose(): void {
    this.images.dispose();
    for (const { shifts } of this.parts) for (const { value } of shifts) value.dispose();
  }
}
