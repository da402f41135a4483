/** The optimiser's kernel (sgd.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

export interface SgdOptions {
  momentum: number;
  weightDecay: number;
  nesterov: boolean;
}

/** One step of w [size] with momentum v, both in place; `hyper` [1] holds the learning rate. */
export function sgdStep(
  device: Device,
  hyper: Storage,
  grad: Storage,
  w: Storage,
  v: Storage,
  mask: Storage | undefined,
  size: number,
  o: SgdOptions,
): void {
  device.dispatch(
    program('sgd', mask ? 'rrwwr' : 'rrww', { MASKED: mask ? 1 : 0, NESTEROV: o.nesterov ? 1 : 0 }),
    mask ? [hyper, grad, w, v, mask] : [hyper, grad, w, v],
    uniform().uint(size).float(o.momentum, o.weightDecay),
    gridFor(Math.ceil(size / 4), 64),
  );
}
