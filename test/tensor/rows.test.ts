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
