/** What the rules of a mask update see of one layer. */
import type { Shape, Tensor } from '../tensor/tensor.ts';

export interface LayerState {
  readonly name: string;
  /** [OUT, IN, KH, KW] or [OUT, IN]. */
  readonly shape: Shape;
  readonly size: number;
  /** Active weights. */
  readonly nnz: number;
  readonly weight: Tensor;
  /** 1 where a weight is active. */
  readonly mask: Tensor;
  /** The optimiser's momentum, 0 outside of the mask; absent where nothing was given. */
  readonly momentum: Tensor | undefined;
  /** The dense gradient of the last batch; there where a rule needs it. */
  readonly gradient: Tensor | undefined;
}
