/** Projection onto a hyperplane inside of the box (hyperplane.wgsl): the step of the FAB attack. */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** Largest multiplier: in Linf a step across the whole box, in L2 one that any slope of float32 turns into that. */
const MOST = { linf: 1, l2: 1e30 } as const;

/** step [n, size] = the smallest step from x [n, size] in [0, 1] that makes c [n] + Σ w·step zero, w [n, size], and stays in the box. */
export function hyperplaneStep(
  device: Device,
  norm: 'linf' | 'l2',
  x: Storage,
  w: Storage,
  c: Storage,
  step: Storage,
  n: number,
  size: number,
): void {
  device.dispatch(
    program('hyperplane', 'rrrw', { L2: norm === 'l2' ? 1 : 0 }),
    [x, w, c, step],
    uniform().uint(size, n).float(MOST[norm]),
    gridFor(n, 1),
  );
}
