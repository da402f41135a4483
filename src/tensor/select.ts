/** Exact choice of the k largest or smallest elements of a whole tensor, on the device, ties by lowest index. */

import { program } from '../kernels/kernel.ts';
import { selectMask as launch, type Selection } from '../kernels/select.ts';
import { wantFloat } from './checks.ts';
import { empty, type Tensor } from './tensor.ts';

export interface SelectOptions {
  by?: Selection['by'];
  /** Chooses only where this mask (of the same size) is active, or only where it is not. */
  among?: { mask: Tensor; is: 'active' | 'inactive' };
}

/**
 * A mask of x's shape: 1 for the k elements that rank highest `by` value, magnitude, smallest value or smallest magnitude; 0 elsewhere.
 * Where fewer than k are eligible, all of these are chosen. -0 counts as 0; NaN ranks first.
 */
export function selectMask(x: Tensor, k: number, { by = 'value', among }: SelectOptions = {}): Tensor {
  wantFloat('selectMask', x, ...(among ? [among.mask] : []));
  if (among && among.mask.size !== x.size)
    throw new Error(`a choice from [${x.shape}] among a mask of shape [${among.mask.shape}]`);
  return choose([x], k, by, among)[0];
}

/** The choice of the k largest among the elements of several tensors together: ties go to the earlier tensor, then to the lower index. */
export function selectMasks(xs: readonly Tensor[], k: number): Tensor[] {
  wantFloat('selectMasks', ...xs);
  return choose(xs, k, 'value');
}

function choose(xs: readonly Tensor[], k: number, by: Selection['by'], among?: SelectOptions['among']): Tensor[] {
  if (!Number.isInteger(k) || k < 0) throw new Error(`a choice of ${k} elements: a count is wanted`);
  const { device } = xs[0];
  const chosen = xs.map(x => empty(device, x.shape));
  const state = empty(device, [4], 'u32');
  const parts = xs.map((x, i) => ({
    n: x.size,
    scores: x.storage,
    y: chosen[i].storage,
    ...(among && { mask: among.mask.storage }),
  }));
  const size = xs.reduce((n, x) => n + x.size, 0);
  launch(device, parts, Math.min(k, size), { by, ...(among && { among: among.is }) }, state.storage);
  state.dispose();
  return chosen;
}

/** The exact k-th largest element (k from 1), [1]. */
export function kthLargest(x: Tensor, k: number): Tensor {
  wantFloat('kthLargest', x);
  if (!Number.isInteger(k) || k < 1 || k > x.size) throw new Error(`the ${k}-th largest of ${x.size} elements`);
  const mask = empty(x.device, x.shape);
  const state = empty(x.device, [4], 'u32');
  launch(x.device, [{ n: x.size, scores: x.storage, y: mask.storage }], k, { by: 'value' }, state.storage);
  mask.dispose();
  const y = empty(x.device, [1]);
  keyToValue(x, state, y);
  state.dispose();
  return y;
}

/** The element whose ~index is the low word of a selection's key. */
function keyToValue(x: Tensor, state: Tensor, y: Tensor): void {
  x.device.dispatch(program('select_value', 'rrw'), [x.storage, state.storage, y.storage], undefined, [1, 1, 1]);
}
