/** The fused step of gradient attacks (attack_step.wgsl). */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/**
 * next [n, size] = one ascent step of the perturbation d along g, projected to the eps ball and to the box around x; adv = x + next.
 * @param ballFirst of L2: the ball before the box, instead of after it
 */
export function attackStep(
  device: Device,
  norm: 'linf' | 'l2',
  x: Storage,
  d: Storage,
  g: Storage,
  next: Storage,
  adv: Storage,
  n: number,
  size: number,
  stepSize: number,
  eps: number,
  ballFirst = false,
): void {
  const l2 = norm === 'l2';
  device.dispatch(
    program('attack_step', 'rrrww', l2 ? { L2: 1, BALL_FIRST: ballFirst ? 1 : 0 } : { L2: 0 }),
    [x, d, g, next, adv],
    uniform()
      .uint(l2 ? size : n * size, n)
      .float(stepSize, eps),
    l2 ? gridFor(n, 1) : gridFor(Math.ceil((n * size) / 4), 64),
  );
}
