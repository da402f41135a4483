/** The fused step of gradient attacks (attack_step.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** y [n, size] = one ascent step of adv along g, projected to the eps ball around x and to [0, 1]. */
export function attackStep(
  device: Device,
  norm: 'linf' | 'l2',
  x: Storage,
  adv: Storage,
  g: Storage,
  y: Storage,
  n: number,
  size: number,
  stepSize: number,
  eps: number,
): void {
  const l2 = norm === 'l2';
  device.dispatch(
    program('attack_step', 'rrrw', { L2: l2 ? 1 : 0 }),
    [x, adv, g, y],
    uniform()
      .uint(l2 ? size : n * size, n)
      .float(stepSize, eps),
    l2 ? gridFor(n, 1) : gridFor(Math.ceil((n * size) / 4), 64),
  );
}
