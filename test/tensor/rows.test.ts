/** Operations on rows of logits against the float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  crossEntropyRows,
  crossEntropyRowsBackward,
  logSoftmax,
  logSoftmaxBackward,
  softmax,
  topK,
} from '../../src/tensor/rows.ts';
import { type Dtype, scope, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, checkForward, checkGradient, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { map, ref } from '../reference/array.ts';
import * as reference from '../reference/loss.ts';
import { integers } from '../reference/random.ts';
import { topK as referenceTopK } from '../reference/select.ts';

const device = await testDevice();
const cases = fc.record({ n: between(1, 90), k: fc.oneof(between(1, 12), fc.constant(100)), seed: seeds });
const labelled = (n: number, k: number, seed: number) => {
  const labels = integers(n, seed, k);
  return { labels, input: { values: ref([n], labels), dtype: 'i32' as const } };
};

describe('rows', () => {
  it('softmax and log-softmax with its gradient', async () => {
    await forAll(cases, async ({ n, k, seed }) => {
      const [z, g] = [random([n, k], seed, -6, 6), random([n, k], seed + 1)];
      const [p, logP, gz] = await run(device, [z, g], (tz, tg) => {
        const tp = logSoftmax(tz);
        return [softmax(tz), tp, logSoftmaxBackward(tg, tp)];
      });
      checkForward('softmax', p, reference.softmax.forward(z));
      checkForward('logSoftmax', logP, reference.logSoftmax.forward(z));
      checkGradient('logSoftmax', gz, reference.logSoftmax.backward(z, g));
    });
  });

  it('logits far from 0 neither overflow nor vanish', async () => {
    const z = ref([2, 3], [1000, 999, -1000, -5000, -5001, -5002]);
    const [logP, p] = await run(device, [z], t => [logSoftmax(t), softmax(t)]);
    checkForward('logSoftmax', logP, reference.logSoftmax.forward(z));
    checkForward('softmax', p, reference.softmax.forward(z));
  });

  it('what is added to all logits of a row changes no rounding: log-softmax and cross-entropy of logits near 1e4 and 1e6', async () => {
    for (const shift of [1e4, -1e4, 1e6]) {
      const z = map(random([9, 10], 5, -6, 6), v => Math.round(v * 16) / 16 + shift); // exact in float32
      const { labels, input } = labelled(9, 10, 6);
      const [logP, plain, smoothed] = await run(device, [z, input], (tz, tl) => [
        logSoftmax(tz),
        crossEntropyRows(tz, tl, 0),
        crossEntropyRows(tz, tl, 0.1),
      ]);
      checkForward('logSoftmax', logP, reference.logSoftmax.forward(z));
      const expected = (labelSmoothing: number) =>
        reference.crossEntropy.forward(z, labels, { reduction: 'none', labelSmoothing });
      checkForward('crossEntropy', plain, expected(0));
      checkForward('crossEntropy', smoothed, expected(0.1));
    }
  });

  it('the loss of a network that is sure of itself is small and not 0, and pulls at the label as much as at the others', async () => {
    const z = ref([5, 3], [30, 16, 0, 30, 14, 2, 1e4, 9990, 9980, -3, -28, -70, 60, 0, 0]);
    const labels = [0, 0, 0, 0, 0];
    const input = { values: ref([5], labels), dtype: 'i32' as const };
    const [loss, logP, gz] = await run(device, [z, input, ref([5], 1)], (tz, tl, tg) => [
      crossEntropyRows(tz, tl, 0),
      logSoftmax(tz),
      crossEntropyRowsBackward(tz, tl, tg, 0),
    ]);
    // exact: log(1 + the others' exponentials), where the reference's 1 + them has lost digits too
    const row = (n: number) => [...z.data.slice(3 * n, 3 * n + 3)];
    const exact = labels.map((_, n) =>
      Math.log1p(row(n).reduce((sum, v, k) => sum + (k === 0 ? 0 : Math.exp(v - row(n)[0])), 0)),
    );
    loss.data.forEach((v, n) => {
      expect(Math.abs(v / exact[n] - 1), `row ${n}: ${v} for ${exact[n]}`).toBeLessThan(1e-5);
      expect(logP.data[3 * n]).toBe(-v);
      const [own, ...others] = gz.data.slice(3 * n, 3 * n + 3);
      const pull = -own / others.reduce((a, b) => a + b, 0);
      expect(Math.abs(pull - 1), `row ${n}: gradients ${own}, ${others}`).toBeLessThan(1e-5);
    });
  });

  it('cross-entropy with label smoothing, and its gradient', async () => {
    await forAll(fc.tuple(cases, fc.constantFrom(0, 0.1, 0.5)), async ([{ n, k, seed }, labelSmoothing]) => {
      const z = random([n, Math.max(k, 2)], seed, -6, 6);
      const { labels, input } = labelled(n, z.shape[1], seed + 1);
      const g = random([n], seed + 2);
      const [loss, gz] = await run(device, [z, input, g], (tz, tl, tg) => [
        crossEntropyRows(tz, tl, labelSmoothing),
        crossEntropyRowsBackward(tz, tl, tg, labelSmoothing),
      ]);
      const options = { reduction: 'none', labelSmoothing } as const;
      checkForward('crossEntropy', loss, reference.crossEntropy.forward(z, labels, options));
      checkGradient('crossEntropy', gz, reference.crossEntropy.backward(z, labels, options, g));
    });
  });

  it('a label that is no class makes its row NaN, in loss and gradient, and no other', async () => {
    const labels = [-1, 0, 10, 9, 2_000_000_000, 4];
    const known = labels.map(y => (y >= 0 && y < 10 ? y : 0));
    const z = random([6, 10], 3);
    const input = { values: ref([6], labels), dtype: 'i32' as const };
    for (const labelSmoothing of [0, 0.1]) {
      const [loss, gz] = await run(device, [z, input, ref([6], 1)], (tz, tl, tg) => [
        crossEntropyRows(tz, tl, labelSmoothing),
        crossEntropyRowsBackward(tz, tl, tg, labelSmoothing),
      ]);
      const options = { reduction: 'none', labelSmoothing } as const;
      const expected = reference.crossEntropy.forward(z, known, options);
      const gradient = reference.crossEntropy.backward(z, known, options, ref([6], 1));
      labels.forEach((y, n) => {
        const [row, wanted] = [gz, gradient].map(g => [...g.data.slice(10 * n, 10 * n + 10)]);
        if (y === known[n]) {
          expect(loss.data[n]).toBeCloseTo(expected.data[n], 5);
          row.forEach((v, k) => void expect(v).toBeCloseTo(wanted[k], 5));
        } else expect([loss.data[n], ...row].every(Number.isNaN), `label ${y}: ${loss.data[n]}, ${row}`).toBe(true);
      });
    }
  });

  it('a logit of -Infinity is a class that cannot be: of the others the loss is what it was, of itself infinite', async () => {
    const z = ref([3, 3], [0, -Infinity, 1, -Infinity, 2, 0, 3, 4, -Infinity]);
    const input = { values: ref([3], [0, 0, 1]), dtype: 'i32' as const };
    const [loss, gz] = await run(device, [z, input, ref([3], 1)], (tz, tl, tg) => [
      crossEntropyRows(tz, tl),
      crossEntropyRowsBackward(tz, tl, tg),
    ]);
    const [first, , third] = loss.data;
    expect(first).toBeCloseTo(Math.log(1 + Math.E), 5);
    expect(loss.data[1]).toBe(Infinity);
    expect(third).toBeCloseTo(Math.log(1 + 1 / Math.E), 5);
    const p = [1 / (1 + Math.E), 1 / (1 + Math.E ** 2)];
    const wanted = [p[0] - 1, 0, 1 - p[0], -1, 1 - p[1], p[1], p[0], -p[0], 0];
    gz.data.forEach((v, i) => void expect(v).toBeCloseTo(wanted[i], 5));
  });

  it('refuses labels that are no integers, and another number of them, naming both', () => {
    const refuse = (shape: number[], dtype: Dtype, message: string) => {
      for (const work of [crossEntropyRows, (z: Tensor, y: Tensor) => crossEntropyRowsBackward(z, y, zeros(device, [32]))])
        expect(() => scope(device, () => work(zeros(device, [32, 10]), zeros(device, shape, dtype)))).toThrow(message);
    };
    const wanted = "int32 class indices [32] are wanted, tensor(device, values, [32], 'i32')";
    refuse([32], 'f32', `crossEntropy of logits [32,10] with f32 labels [32]: ${wanted}`);
    refuse([16], 'i32', `crossEntropy of logits [32,10] with i32 labels [16]: ${wanted}`);
    refuse([64], 'u32', `crossEntropy of logits [32,10] with u32 labels [64]: ${wanted}`);
  });

  it('takes labels [N, 1] and uint32 ones', async () => {
    const z = random([4, 3], 9);
    const labels = [2, 0, 1, 1];
    const inputs = [
      z,
      { values: ref([4, 1], labels), dtype: 'i32' as const },
      { values: ref([4], labels), dtype: 'u32' as const },
    ];
    const found = await run(device, inputs, (tz, column, unsigned) => [column, unsigned].map(t => crossEntropyRows(tz, t)));
    for (const y of found) checkForward('crossEntropy', y, reference.crossEntropy.forward(z, labels, { reduction: 'none' }));
  });

  it('top k in falling order, equal values by lowest index', async () => {
    await forAll(fc.tuple(cases, between(1, 6)), async ([{ n, k, seed }, wanted]) => {
      const z = map(random([n, k], seed), v => Math.round(v * 3));
      const [values, at] = await run(device, [z], t => {
        const top = topK(t, Math.min(wanted, k));
        return [top.values, top.indices];
      });
      const expected = referenceTopK.forward(z, Math.min(wanted, k));
      checkForward('topK', values, expected.values, 0);
      expect([...at.data]).toEqual([...expected.indices.data]);
    });
  });

  it('refuses what is no matrix, and more than all', () => {
    expect(() => scope(device, () => softmax(zeros(device, [3])))).toThrow('[N, K] is wanted');
    expect(() => scope(device, () => topK(zeros(device, [1, 3]), 4))).toThrow('top 4 of rows of 3');
  });
});
