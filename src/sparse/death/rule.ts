/** What a death rule is: which active weights of a layer an update drops. A rule is a file in this folder and a row of `index.ts`. */
import type { Tensor } from '../../tensor/tensor.ts';
import type { LayerState } from '../layer.ts';

export interface DeathRule {
  /** The dense tensor that the rule ranks by: the gradient of the last batch. */
  readonly needs?: 'gradient';
  /** A count that the rule needs on the host, as a tensor of one element; @param threshold of `--death-threshold` */
  measure?(layer: LayerState, threshold: number): Tensor;
  /** How many weights go, without what Flying Bird+ adds: for rules that ask their own measure instead of the death rate. */
  amount?(layer: LayerState, measured: number): number;
  /** A mask of exactly `count` active weights. Ties go by lowest index. */
  select(layer: LayerState, count: number, measured: number): Tensor;
}
