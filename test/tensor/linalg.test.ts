/** Matrix products against the float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matmul } from '../../src/tensor/linalg.ts';
import { scope, tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, random, run, seeds, testDevice } from '../engine.ts';
import * as reference from '../reference/linalg.ts';

const device = await testDevice();

const sizes = fc.oneof(between(1, 5), between(1, 40));
const cases = fc.record({
  m: sizes,
  n: sizes,
  k: sizes,
  batch: fc.array(between(1, 3), { maxLength: 2 }),
  flatA: fc.boolean(),
  flatB: fc.boolean(),
  transposeA: fc.boolean(),
  transposeB: fc.boolean(),
  seed: seeds,
});

describe('matmul', () => {
  it('all transpositions, batched, one operand without a batch', async () => {
    await forAll(
      cases,
      async ({ m, n, k, batch, flatA, flatB, transposeA, transposeB, seed }) => {
        const a = random([...(flatA ? [] : batch), ...(transposeA ? [k, m] : [m, k])], seed);
        const b = random([...(flatB ? [] : batch), ...(transposeB ? [n, k] : [k, n])], seed + 1);
        const [c] = await run(device, [a, b], (ta, tb) => matmul(ta, tb, { transposeA, transposeB }));
        checkForward('matmul', c, reference.matmul.forward(a, b, { transposeA, transposeB }));
      },
      60,
    );
  });

  it('a long inner dimension', async () => {
    const [a, b] = [random([3, 5000], 1, 0, 1), random([5000, 2], 2, 0, 1)];
    const [c] = await run(device, [a, b], (ta, tb) => matmul(ta, tb));
    checkForward('matmul', c, reference.matmul.forward(a, b));
  });

  it.each([
    { name: 'columns', m: 1, n: 1_100_003, batch: 1 },
    { name: 'rows', m: 1_100_003, n: 1, batch: 1 },
    { name: 'batches', m: 1, n: 2, batch: 70_001 },
  ])('more than 65 535 workgroups of $name', async ({ m, n, batch }) => {
    const a = tensor(
      device,
      Float32Array.from({ length: batch * m }, (_, i) => i % 97),
      [batch, m, 1],
    );
    const b = tensor(
      device,
      Float32Array.from({ length: batch * n }, (_, i) => (i % 89) + 1),
      [batch, 1, n],
    );
    const c = scope(device, () => matmul(a, b));
    const got = await c.floats();
    const wrong = got.findIndex((v, i) => {
      const [z, row, column] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n];
      return v !== ((z * m + row) % 97) * (((z * n + column) % 89) + 1);
    });
    expect(wrong).toBe(-1);
    for (const t of [a, b, c]) t.dispose();
  });

  it('an inner dimension of 0 gives 0', async () => {
    const c = scope(device, () => matmul(zeros(device, [2, 0]), zeros(device, [0, 2])));
    expect([...(await c.data())]).toEqual([0, 0, 0, 0]);
    c.dispose();
  });

  it('refuses what does not fit, naming the shapes', () => {
    const refuse = (a: number[], b: number[], message: string) =>
      expect(() => scope(device, () => matmul(zeros(device, a), zeros(device, b)))).toThrow(message);
    refuse([2, 3], [2, 3], 'matmul of [2,3] and [2,3]: they do not fit');
    refuse([2, 2, 3], [3, 3, 2], 'they do not fit');
    refuse([3], [3, 2], 'two dimensions or more');
  });
});
