/** The optimiser's kernel (sgd.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

export interface SgdOptions {
  momentum: number;
  weightDecay: number;
  nesterov: boolean;
}

/**
 * One step of w [size] with momentum v, both in place; `hyper` [1] holds the learning rate. With a mask, momentum can be kept `dense` (without
 * the mask) beside.
 */
export function sgdStep(
  device: Device,
  hyper: Storage,
  grad: Storage,
  w: Storage,
  v: Storage,
  { mask, dense }: { mask?: Storage | undefined; dense?: Storage | undefined },
  size: number,
  o: SgdOptions,
): void {
  const extra = mask
    ? dense
      ? { bindings: 'rw', buffers: [mask, dense] }
      : { bindings: 'r', buffers: [mask] }
    : { bindings: '', buffers: [] };
  device.dispatch(
    program('sgd', `rrww${extra.bindings}`, { MASKED: mask ? 1 : 0, DENSE: mask && dense ? 1 : 0, NESTEROV: o.nesterov ? 1 : 0 }),
    [hyper, grad, w, v, ...extra.buffers],
    uniform().uint(size).float(o.momentum, o.weightDecay),
    gridFor(Math.ceil(size / 4), 64),
  );
}
