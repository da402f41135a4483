/** What a growth rule is: which inactive weights of a layer an update grows. A rule is a file in this folder and a row of `index.ts`. */
import type { Random } from '../../tensor/philox.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { LayerState } from '../layer.ts';

export interface GrowthRule {
  /** The dense tensor that the rule ranks by: the gradient of the last batch, or the momentum kept without the mask. */
  readonly needs?: 'gradient' | 'momentum';
  /**
   * A mask of exactly `count` weights where `kept` is 0. Ties go by lowest index.
   * @param kept what the drop left: growth may choose the just-dropped @param score the tensor of `needs`
   */
  select(layer: LayerState, kept: Tensor, count: number, score: Tensor | undefined, random: Random): Tensor | Promise<Tensor>;
}
