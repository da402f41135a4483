/** Batched matrix product with operands in any strides (matmul.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

export interface Matrices {
  storage: Storage;
  /** Elements between batches, rows and columns as the product sees them. */
  batch: number;
  row: number;
  col: number;
}

/** c [batch, m, n] = a [batch, m, k] · b [batch, k, n]. */
export function matmul(
  device: Device,
  a: Matrices,
  b: Matrices,
  c: Storage,
  batch: number,
  m: number,
  n: number,
  k: number,
): void {
  const tile = m >= 16 && n >= 16 ? 4 : 2;
  const groupsN = Math.ceil(n / (8 * tile));
  const groupsM = Math.ceil(m / (8 * tile));
  device.dispatch(
    program('matmul', 'rrw', { TM: tile, TN: tile }),
    [a.storage, b.storage, c],
    uniform().uint(m, n, k, batch, a.batch, a.row, a.col, b.batch, b.row, b.col, groupsN, groupsM),
    gridFor(groupsN * groupsM * batch, 1),
  );
}
