/** The references of the parameter-free attacks: the paper's numbers, and projections against random feasible points. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { apgd, apgdCheckpoints, hyperplaneStep } from '../autoattack.ts';
import { norm as length } from '../finite.ts';
import { uniform } from '../random.ts';

const seeds = fc.integer({ min: 0, max: 1e6 });
const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const sizes = { linf: (d: Float64Array) => Math.max(...d.map(Math.abs)), l2: length } as const;

describe('hyperplaneStep', () => {
  const norms = fc.constantFrom('linf' as const, 'l2' as const);

  it('reaches the hyperplane, stays in the box, and no other point of both is nearer', () => {
    fc.assert(
      fc.property(norms, fc.integer({ min: 1, max: 6 }), seeds, (norm, size, seed) => {
        const x = uniform([size], seed, 0, 1).data;
        const w = uniform([size], seed + 1).data;
        const inside = uniform([size], seed + 2, 0, 1).data; // the plane goes through this point of the box
        const c = -dot(
          w,
          inside.map((v, i) => v - x[i]),
        );
        const step = hyperplaneStep(norm, x, w, c);
        expect(c + dot(w, step)).toBeCloseTo(0, 10);
        for (let i = 0; i < size; i++) {
          expect(x[i] + step[i]).toBeGreaterThanOrEqual(-1e-12);
          expect(x[i] + step[i]).toBeLessThanOrEqual(1 + 1e-12);
        }
        for (let trial = 0; trial < 40; trial++) {
          // a random point of the box, pulled to the plane along the line to `inside` or away from it
          const other = uniform([size], seed + 3 + trial, 0, 1).data;
          const at = (p: Float64Array) =>
            c +
            dot(
              w,
              p.map((v, i) => v - x[i]),
            );
          const mixed = other.map((v, i) => (trial % 2 ? v : (v + x[i] + step[i]) / 2));
          const opposite = uniform([size], seed + 103 + trial, 0, 1).data;
          const [a, b] = [at(mixed), at(opposite)];
          if (a * b >= 0) continue;
          const crossing = mixed.map((v, i) => v + (a / (a - b)) * (opposite[i] - v));
          const d = crossing.map((v, i) => v - x[i]);
          expect(sizes[norm](d)).toBeGreaterThanOrEqual(sizes[norm](step) - 1e-9);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('goes to the corner where the box ends before the hyperplane', () => {
    const step = hyperplaneStep('l2', Float64Array.of(0.25, 0.5), Float64Array.of(1, -2), 100);
    expect([...step]).toEqual([-0.25, 0.5]);
  });
});

describe('schedules', () => {
  it('the checkpoints of 100 steps are those of the paper', () => {
    expect(apgdCheckpoints(100)).toEqual([22, 41, 57, 70, 80, 87, 93, 99]);
    expect(apgdCheckpoints(5)).toEqual([1, 2, 3, 4, 5]);
  });

  it('APGD halves its step on a loss that only falls, and keeps the start', () => {
    const x = Float64Array.of(0.5, 0.5);
    const falling = (image: Float64Array) => ({ loss: -length(image.map((v, i) => v - x[i])), gradient: Float64Array.of(1, 1) });
    const { loss, halvings, stepSize } = apgd('linf', x, new Float64Array(2), falling, 0.1, 100);
    expect([loss, halvings]).toEqual([-0, 8]);
    expect(stepSize).toBe(0.2 / 256);
  });

  it('APGD in L2 scales to the ball before it clips to the box, worked by hand', () => {
    // 2 eps along (3, 4)/5 is (.6, .8); scaled to length .5 it is (.3, .4), of which the box leaves (.3, .1)
    const x = Float64Array.of(0.5, 0.9);
    const slope = (image: Float64Array) => ({ loss: 3 * image[0] + 4 * image[1], gradient: Float64Array.of(3, 4) });
    const { loss } = apgd('l2', x, new Float64Array(2), slope, 0.5, 1);
    expect(loss).toBeCloseTo(3 * 0.8 + 4, 12);
  });
});
