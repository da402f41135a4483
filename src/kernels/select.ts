/** Exact selection of the k largest scores on the device, ties by lowest index (select.wgsl): what masks are made with. */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** What is ranked: the score itself, its magnitude, or (to find the smallest) their negatives. */
const MAPS = {
  value: 'scores[i]',
  magnitude: 'abs(scores[i])',
  smallest: '-scores[i]',
  smallestMagnitude: '-abs(scores[i])',
} as const;

export interface Selection {
  by: keyof typeof MAPS;
  /** Restricts the choice to elements whose `mask` is (or is not) zero. */
  among?: { mask: Storage; is: 'active' | 'inactive' };
}

/**
 * y [n] = 1 for the k largest of `scores` among the eligible, else 0. Where fewer than k are eligible, all of them are taken.
 * The state buffer [4] (high key, low key of the k-th largest) is left in `state`, for what reads the element's value by it
 * (select_value.wgsl).
 */
export function selectMask(
  device: Device,
  scores: Storage,
  y: Storage,
  n: number,
  k: number,
  how: Selection,
  state: Storage,
): void {
  const histogram = device.allocate(256 * 4);
  device.dispatch(program('select', 'ww', { STAGE: 0 }), [state, histogram], uniform().uint(n, 0, k), [1, 1, 1]);
  const rank = { MAP: MAPS[how.by], TEST: how.among?.is === 'inactive' ? '== 0.0' : '!= 0.0' };
  const variant = { BY: how.by, AMONG: how.among?.is ?? 'all' };
  // without a restriction one constant stands for every element's eligibility
  const eligible = how.among?.mask ?? device.constant(new Uint32Array([0x3f800000]));
  const each = how.among ? 1 : 0;
  for (let digit = 0; digit < 8; digit++) {
    device.dispatch(
      program('select', 'rrrw', { STAGE: 1, ...variant }, 'main', rank),
      [scores, eligible, state, histogram],
      uniform().uint(n, digit, k).float(each),
      gridFor(Math.ceil(n / 2048), 1),
    );
    device.dispatch(program('select', 'ww', { STAGE: 2 }), [state, histogram], uniform().uint(n, digit, k), [1, 1, 1]);
  }
  device.dispatch(
    program('select', 'rrrw', { STAGE: 3, ...variant }, 'main', rank),
    [scores, eligible, state, y],
    uniform().uint(n, 0, k).float(each),
    gridFor(n, 64),
  );
  device.discard(histogram);
}
