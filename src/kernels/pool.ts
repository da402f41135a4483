/** Max, average and adaptive average pooling with their gradients (pool.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** x [planes, h, w] to y [planes, oh, ow]; `kernel` is absent for adaptive pooling. */
export interface PoolShape {
  planes: number;
  h: number;
  w: number;
  oh: number;
  ow: number;
  kernel?: { kh: number; kw: number; stride: number; padding: number; countPad: boolean };
}

const KINDS = { max: 0, maxBackward: 1, avg: 2, avgBackward: 3 } as const;

function launch(device: Device, kind: keyof typeof KINDS, bindings: string, buffers: Storage[], s: PoolShape): void {
  const back = kind.endsWith('Backward');
  const size = s.planes * (back ? s.h * s.w : s.oh * s.ow);
  const k = s.kernel;
  const whole = back && !k && s.oh === 1 && s.ow === 1;
  device.dispatch(
    program('pool', bindings, { KIND: KINDS[kind], ADAPTIVE: k ? 0 : 1, COUNT_PAD: k?.countPad ? 1 : 0, WHOLE: whole }),
    buffers,
    uniform().uint(size, s.h, s.w, s.oh, s.ow, k?.kh ?? 0, k?.kw ?? 0, k?.stride ?? 1, k?.padding ?? 0),
    gridFor(size, 64),
  );
}

/** y = max pooling of x, `at` the int32 position of each maximum in its plane. */
export function maxPool(device: Device, x: Storage, y: Storage, at: Storage, s: PoolShape): void {
  launch(device, 'max', 'rww', [x, y, at], s);
}

export function maxPoolBackward(device: Device, g: Storage, at: Storage, gx: Storage, s: PoolShape): void {
  launch(device, 'maxBackward', 'rrw', [g, at, gx], s);
}

export function avgPool(device: Device, x: Storage, y: Storage, s: PoolShape): void {
  launch(device, 'avg', 'rw', [x, y], s);
}

export function avgPoolBackward(device: Device, g: Storage, gx: Storage, s: PoolShape): void {
  launch(device, 'avgBackward', 'rw', [g, gx], s);
}
