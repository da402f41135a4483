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
import { scope, zeros } from '../../src/tensor/tensor.ts';
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
