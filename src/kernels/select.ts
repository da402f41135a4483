/** Exact selection of the k largest scores on the device, ties by lowest index (select.wgsl): what masks are made with. */
import { type Device, type Grid, gridFor, type Storage, uniform } from '../device/index.ts';
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
  /** Restricts the choice to elements whose mask is (or is not) zero; every part has one then. */
  among?: 'active' | 'inactive';
}

/** Scores [n], where their part of the result [n] goes, and the mask [n] of what may be chosen. */
export interface Part {
  n: number;
  scores: Storage;
  y: Storage;
  mask?: Storage;
}

/**
 * y = 1 for the k largest of the scores of all parts together among the eligible, else 0. Where fewer than k are eligible, all of them are taken.
 * The state buffer [4] (high key, low key of the k-th largest) is left in `state`, for what reads the element's value by it
 * (select_value.wgsl).
 */
export function selectMask(device: Device, parts: readonly Part[], k: number, how: Selection, state: Storage): void {
  const histogram = device.allocate(256 * 4);
  const choose = (stage: 0 | 2, digit: number) =>
    device.dispatch(program('select', 'ww', { STAGE: stage }), [state, histogram], uniform().uint(0, digit, k), [1, 1, 1]);
  const rank = { MAP: MAPS[how.by], TEST: how.among === 'inactive' ? '== 0.0' : '!= 0.0' };
  const variant = { BY: how.by, AMONG: how.among ?? 'all' };
  // without a restriction one constant stands for every element's eligibility
  const all = device.constant(new Uint32Array([0x3f800000]));
  const read = (stage: 1 | 3, digit: number, target: (part: Part) => Storage, grid: (n: number) => Grid) => {
    let first = 0;
    for (const part of parts) {
      device.dispatch(
        program('select', 'rrrw', { STAGE: stage, ...variant }, 'main', rank),
        [part.scores, part.mask ?? all, state, target(part)],
        uniform()
          .uint(part.n, digit, k)
          .float(part.mask ? 1 : 0)
          .uint(first),
        grid(part.n),
      );
      first += part.n;
    }
  };
  choose(0, 0);
  for (let digit = 0; digit < 8; digit++) {
    read(
      1,
      digit,
      () => histogram,
      n => gridFor(Math.ceil(n / 2048), 1),
    );
    choose(2, digit);
  }
  read(
    3,
    0,
    part => part.y,
    n => gridFor(n, 64),
  );
  device.discard(histogram);
}
