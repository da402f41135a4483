/** What a redistribution rule is: how growth is shared out over the layers. A rule is a file in this folder and a row of `index.ts`. */
import type { Tensor } from '../../tensor/tensor.ts';
import type { LayerState } from '../layer.ts';

export interface RedistributionRule {
  /** A number that the rule needs on the host, as a tensor of one element. */
  measure?(layer: LayerState): Tensor;
  /** The layer's share of all that grows, up to a common factor. */
  share(layer: LayerState, measured: number): number;
}
