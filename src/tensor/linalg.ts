/** Matrix products. */
import { matmul as launch } from '../kernels/matmul.ts';
import { wantFloat } from './checks.ts';
import { empty, sizeOf, type Tensor } from './tensor.ts';

export interface MatmulOptions {
  transposeA?: boolean;
  transposeB?: boolean;
}

/**
 * a [..., M, K] · b [..., K, N] -> [..., M, N]; with `transposeA` a is [..., K, M], with `transposeB` b is [..., N, K]. Batch dimensions
 * are equal, or absent in one of the two.
 */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor {
  wantFloat('matmul', a, b);
  if (a.rank < 2 || b.rank < 2) throw new Error(`matmul of [${a.shape}] and [${b.shape}]: both need two dimensions or more`);
  const [ar, ac] = a.shape.slice(-2);
  const [br, bc] = b.shape.slice(-2);
  const [m, k] = transposeA ? [ac, ar] : [ar, ac];
  const [k2, n] = transposeB ? [bc, br] : [br, bc];
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  const batch = batchA.length >= batchB.length ? batchA : batchB;
  const fits = [batchA, batchB].every(s => s.length === 0 || (s.length === batch.length && s.every((v, i) => v === batch[i])));
  if (k !== k2 || !fits)
    throw new Error(`matmul of [${a.shape}]${transposeA ? 'ᵀ' : ''} and [${b.shape}]${transposeB ? 'ᵀ' : ''}: they do not fit`);
  const c = empty(a.device, [...batch, m, n]);
  launch(
    a.device,
    { storage: a.storage, batch: batchA.length ? ar * ac : 0, row: transposeA ? 1 : ac, col: transposeA ? ac : 1 },
    { storage: b.storage, batch: batchB.length ? br * bc : 0, row: transposeB ? 1 : bc, col: transposeB ? bc : 1 },
    c.storage,
    sizeOf(batch),
    m,
    n,
    k,
  );
  return c;
}
