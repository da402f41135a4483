/** The fused attack step against the float64 reference; results never leave the ball or the box. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attackStep } from '../../src/kernels/attack.ts';
import { empty } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, random, rounded, run, seeds, testDevice } from '../engine.ts';
import { map, type Ref, ref, zip } from '../reference/array.ts';
import * as reference from '../reference/attack.ts';

const device = await testDevice();

const images = fc.record({
  n: fc.oneof(between(1, 5), fc.constant(70)),
  size: fc.oneof(between(1, 80), fc.constant(300)),
  seed: seeds,
});

async function steps(
  norm: 'linf' | 'l2',
  x: Ref,
  start: Ref,
  gradients: Ref[],
  stepSize: number,
  eps: number,
  ballFirst?: boolean,
): Promise<Ref> {
  const [n, size] = x.shape;
  const [adv] = await run(device, [x, start, ...gradients], (tx, ts, ...g) => {
    let from = ts;
    const to = empty(device, x.shape);
    for (const grad of g) {
      const next = empty(device, x.shape);
      attackStep(
        device,
        norm,
        tx.storage,
        from.storage,
        grad.storage,
        next.storage,
        to.storage,
        n,
        size,
        stepSize,
        eps,
        ballFirst,
      );
      from = next;
    }
    return to;
  });
  return adv;
}

const minus = (a: Ref, b: Ref) => zip(a, b, (p, q) => p - q);
const plus = (a: Ref, b: Ref) => zip(a, b, (p, q) => p + q);
const insideBox = (a: Ref) => a.data.every(v => v >= 0 && v <= 1);

describe('attackStep', () => {
  it('Linf: three steps from a random start, with zeros in the gradient', async () => {
    await forAll(fc.tuple(images, fc.constantFrom(2 / 255, 8 / 255, 0.3)), async ([{ n, size, seed }, eps]) => {
      const stepSize = eps / 3;
      const x = random([n, size], seed, 0, 1);
      const d0 = reference.linfStart(x, random([n, size], seed + 1), eps);
      const start = rounded(d0);
      const gradients = [2, 3, 4].map(i => map(random([n, size], seed + i), v => Math.round(v * 3) / 3));
      const adv = await steps('linf', x, start, gradients, stepSize, eps);
      const d = gradients.reduce((from, g) => reference.linfStep(x, from, g, Math.fround(stepSize), Math.fround(eps)), start);
      checkForward('attackStep linf', adv, plus(x, d));
      expect(insideBox(adv)).toBe(true);
      // half a unit of the last place of a value below 1
      expect(Math.max(...minus(adv, x).data.map(Math.abs))).toBeLessThanOrEqual(Math.fround(eps) + 2 ** -24);
    });
  });

  it.each([
    ['the box before the ball', false, reference.l2Step],
    ['the ball before the box', true, reference.l2StepBallFirst],
  ] as const)('L2, %s: three steps, samples with gradient 0 among them', async (_, ballFirst, step) => {
    await forAll(fc.tuple(images, fc.constantFrom(0.1, 0.5, 3)), async ([{ n, size, seed }, eps]) => {
      const stepSize = eps / 2;
      const x = random([n, size], seed, 0, 1);
      const start = rounded(reference.l2Start(x, random([n, size], seed + 1, 0, 1), eps));
      const gradients = [2, 3, 4].map(i => {
        const g = random([n, size], seed + i);
        return ref(
          g.shape,
          g.data.map((v, at) => (Math.floor(at / size) % 3 === 2 ? 0 : v)),
        );
      });
      const adv = await steps('l2', x, start, gradients, stepSize, eps, ballFirst);
      const d = gradients.reduce((from, g) => step(x, from, g, stepSize, eps), start);
      checkForward('attackStep l2', adv, plus(x, d));
      expect(insideBox(adv)).toBe(true);
      const moved = minus(adv, x);
      for (let i = 0; i < n; i++) {
        const norm = Math.hypot(...moved.data.subarray(i * size, (i + 1) * size));
        expect(norm).toBeLessThanOrEqual(eps * (1 + 1e-6) + Math.sqrt(size) * 2 ** -24);
      }
    });
  });
});
