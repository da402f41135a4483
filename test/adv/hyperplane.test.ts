/** The smallest step onto a hyperplane inside of the box: the kernel of FAB against the float64 reference that sorts. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { stepToBoundary } from '../../src/adv/fab.ts';
import { between, checkForward, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { ref } from '../reference/array.ts';
import { hyperplaneStep } from '../reference/autoattack.ts';

const device = await testDevice();

it.each(['linf', 'l2'] as const)(
  '%s: against the reference, hyperplanes beyond the box and slopes of 0 among them',
  async norm => {
    const cases = fc.record({ n: between(1, 5), size: fc.oneof(between(1, 80), fc.constant(300)), seed: seeds });
    await forAll(cases, async ({ n, size, seed }) => {
      const x = random([n, size], seed, 0, 1);
      const scale = 10 ** ((seed % 7) - 3);
      const w = random([n, size], seed + 1, -scale, scale);
      for (let i = 0; i < w.data.length; i += 5) w.data[i] = 0;
      const c = random([n], seed + 2, -scale * size * 0.4, scale * size * 0.4);
      const row = (data: Float64Array, i: number) => data.slice(i * size, (i + 1) * size);
      const expected = Array.from({ length: n }, (_, i) => [...hyperplaneStep(norm, row(x.data, i), row(w.data, i), c.data[i])]);
      const [step] = await run(device, [x, c, w], (tx, tc, tw) => stepToBoundary(tx, tc, tw, norm));
      checkForward(`hyperplane ${norm}`, step, ref([n, size], expected.flat()), 1e-5);
      expect(step.data.every((d, i) => x.data[i] + d >= -1e-7 && x.data[i] + d <= 1 + 1e-7)).toBe(true);
    });
  },
);
