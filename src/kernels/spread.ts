/** The elements of an image that a stride reaches: with zeros between them (spread.wgsl), or without what is between (pick.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** x [M, I, J] goes to y [M, H, W] at rows S·i + a and columns S·j + b. */
export interface Spread {
  m: number;
  rows: number;
  cols: number;
  h: number;
  w: number;
  stride: number;
  a: number;
  b: number;
}

/** y = x at every S-th row and column, 0 elsewhere; [+ before], of y's size. */
export function spread(device: Device, x: Storage, y: Storage, s: Spread, before?: Storage): void {
  const vec = s.w % 4 === 0;
  const size = (s.m * s.h * s.w) / (vec ? 4 : 1);
  device.dispatch(
    program('spread', before ? 'rwr' : 'rw', { S: s.stride, VEC: vec, ADD: before !== undefined }),
    before ? [x, y, before] : [x, y],
    uniform().uint(size, s.h, s.w, s.rows, s.cols, s.a, s.b),
    gridFor(size, 64),
  );
}

/** y [M, I, J] = every S-th row and column of x [M, H, W], from the first on. */
export function pick(device: Device, x: Storage, y: Storage, s: Omit<Spread, 'a' | 'b'>): void {
  const vec = s.w % 4 === 0 && s.cols % 4 === 0;
  const size = (s.m * s.rows * s.cols) / (vec ? 4 : 1);
  device.dispatch(
    program('pick', 'rw', { S: s.stride, VEC: vec }),
    [x, y],
    uniform().uint(size, s.h, s.w, s.rows, s.cols),
    gridFor(size, 64),
  );
}
