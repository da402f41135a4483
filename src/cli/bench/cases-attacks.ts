/** Cases of the kernels that only attacks launch. */
import { stepToBoundary } from '../../adv/fab.ts';
import type { Norm } from '../../adv/pgd.ts';
import { bytesOf, each, floats, type KernelCase } from './case.ts';

type Values = ArrayLike<number>;

/** n points onto a hyperplane each, inside of the box. */
function hyperplaneCase(norm: Norm, n: number, pixels: number, size: KernelCase['size']): KernelCase {
  /** Lengths of the step in every pixel of a sample, for a multiplier. */
  const lengths = (x: Values, w: Values, side: number, s: number, t: number) =>
    each(pixels, i => {
      const slope = side * w[s * pixels + i];
      const room = slope > 0 ? x[s * pixels + i] : 1 - x[s * pixels + i];
      return Math.min(norm === 'l2' ? t * Math.abs(slope) : t, room);
    });
  return {
    title: `${norm} step of ${n} images of ${pixels} onto a hyperplane`,
    size,
    inputs: () => [floats([n, pixels], 1, 0, 1), floats([n, pixels], 2), floats([n], 3, -pixels / 8, pixels / 8)],
    launch: (_, [x, w, c]) => [stepToBoundary(x, c, w, norm)],
    reference: ([x, w, c]) => {
      const step = new Float64Array(n * pixels);
      for (let s = 0; s < n; s++) {
        const side = c[s] >= 0 ? 1 : -1;
        const sum = (t: number) => lengths(x, w, side, s, t).reduce((total, d, i) => total + Math.abs(w[s * pixels + i]) * d, 0);
        let [low, high] = [0, norm === 'l2' ? 1e6 : 1];
        for (let round = 0; round < 80; round++) {
          const middle = (low + high) / 2;
          if (sum(middle) >= Math.abs(c[s])) high = middle;
          else low = middle;
        }
        lengths(x, w, side, s, high).forEach((d, i) => {
          step[s * pixels + i] = -Math.sign(side * w[s * pixels + i]) * d;
        });
      }
      return [step];
    },
    tolerance: 1e-5,
    work: bytesOf(3 * n * pixels),
  };
}

/** By kernel file. */
export const attackCases: Readonly<Record<string, readonly KernelCase[]>> = {
  hyperplane: [
    hyperplaneCase('linf', 3, 75, 'small'),
    hyperplaneCase('l2', 3, 75, 'small'),
    hyperplaneCase('linf', 128, 3072, 'large'),
    hyperplaneCase('l2', 128, 3072, 'large'),
  ],
};
