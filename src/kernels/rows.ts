/** Row-wise operations on logits [n, k] (rows.wgsl): softmax, log-softmax, cross-entropy, top-k. */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

const OPS = { logSoftmax: 0, softmax: 1, logSoftmaxBackward: 2, crossEntropy: 3, crossEntropyBackward: 4, topK: 5 } as const;

function launch(
  device: Device,
  op: keyof typeof OPS,
  bindings: string,
  buffers: Storage[],
  n: number,
  k: number,
  k2 = 0,
  smooth = 0,
): void {
  device.dispatch(program('rows', bindings, { OP: OPS[op] }), buffers, uniform().uint(n, k, k2).float(smooth), gridFor(n, 64));
}

export function logSoftmax(device: Device, z: Storage, y: Storage, n: number, k: number): void {
  launch(device, 'logSoftmax', 'rw', [z, y], n, k);
}

export function softmax(device: Device, z: Storage, y: Storage, n: number, k: number): void {
  launch(device, 'softmax', 'rw', [z, y], n, k);
}

/** gz = g - exp(logp)·sum(g). */
export function logSoftmaxBackward(device: Device, g: Storage, logp: Storage, gz: Storage, n: number, k: number): void {
  launch(device, 'logSoftmaxBackward', 'rrw', [g, logp, gz], n, k);
}

/** y [n] = cross-entropy of each row with int32 labels; `smooth` is the label smoothing. */
export function crossEntropy(
  device: Device,
  z: Storage,
  labels: Storage,
  y: Storage,
  n: number,
  k: number,
  smooth: number,
): void {
  launch(device, 'crossEntropy', 'rrw', [z, labels, y], n, k, 0, smooth);
}

/** gz = (softmax - target)·g[n]. */
export function crossEntropyBackward(
  device: Device,
  z: Storage,
  labels: Storage,
  g: Storage,
  gz: Storage,
  n: number,
  k: number,
  smooth: number,
): void {
  launch(device, 'crossEntropyBackward', 'rrrw', [z, labels, g, gz], n, k, 0, smooth);
}

/** The k2 largest of each row in falling order, ties by lowest index. */
export function topK(device: Device, z: Storage, values: Storage, indices: Storage, n: number, k: number, k2: number): void {
  launch(device, 'topK', 'rww', [z, values, indices], n, k, k2);
}
