/** Matrix products with their derivatives. */

import type { MatmulOptions } from '../tensor/linalg.ts';
import * as raw from '../tensor/linalg.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { add } from './elementwise.ts';
import { sumTo } from './reduce.ts';
import { record } from './tape.ts';

/**
 * op(a)·op(b), op the transposition or not. With c = a·b:  ∂a = g·bᵀ,  ∂b = aᵀ·g; a transposed operand gets the transposed product.
 */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor {
  return record('matmul', [a, b], raw.matmul(a, b, { transposeA, transposeB }), (g, [na, nb]) => {
    const ga = () =>
      transposeA ? matmul(b, g, { transposeA: transposeB, transposeB: true }) : matmul(g, b, { transposeB: !transposeB });
    const gb = () =>
      transposeB ? matmul(g, a, { transposeA: true, transposeB: transposeA }) : matmul(a, g, { transposeA: !transposeA });
    return [na ? sumTo(ga(), a.shape) : undefined, nb ? sumTo(gb(), b.shape) : undefined];
  });
}

/** x [N, IN] · weightᵀ + bias: weight [OUT, IN], bias [OUT]. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const y = matmul(x, weight, { transposeB: true });
  return bias ? add(y, bias) : y;
}
