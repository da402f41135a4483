/** Derivatives of the losses. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { scope, type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, forAll, random, rounded, run, seeds, testDevice } from '../engine.ts';
import { map, type Ref, ref } from '../reference/array.ts';
import * as reference from '../reference/loss.ts';
import { distinct, integers } from '../reference/random.ts';
import { checkOperation, type Operation } from './operation.ts';

const device = await testDevice();
const runs = 15;
/** Of one sample and two classes, gradients can come close to 0, where the relative error of float32 has no bound. */
const sizes = fc.tuple(between(2, 9), between(3, 20), seeds);

/** Logits [N, K] and labels for them. */
const draw = ([n, k, seed]: [number, number, number]) => ({
  z: random([n, k], seed + 3, -2, 2),
  labels: integers(n, seed, k),
  seed,
});
const onDevice = (labels: number[]) => tensor(device, labels, [labels.length], 'i32');

describe('softmax', () => {
  it.each([
    ['logSoftmax', F.logSoftmax, reference.logSoftmax],
    ['softmax', F.softmax, reference.softmax],
  ] as const)('%s', async (name, device_, { forward, backward }) => {
    const op: Operation = { name, device: device_, forward, backward: (g, z) => backward(z, g) };
    await forAll(sizes, example => checkOperation(device, op, [draw(example).z], example[2]), runs);
  });
});

describe('cross-entropy', () => {
  it.each(['mean', 'sum', 'none'] as const)('reduction %s, with and without label smoothing', async reduction => {
    await forAll(
      fc.tuple(sizes, fc.constantFrom(0, 0.1, 0.5)),
      ([example, smoothing]) => {
        const { z, labels, seed } = draw(example);
        const options = { reduction, labelSmoothing: smoothing };
        const op: Operation = {
          name: 'crossEntropy',
          device: t => F.crossEntropy(t, onDevice(labels), { reduction, smoothing }),
          forward: a => reference.crossEntropy.forward(a, labels, options),
          backward: (g, a) => reference.crossEntropy.backward(a, labels, options, g),
        };
        return checkOperation(device, op, [z], seed);
      },
      runs,
    );
  });

  it('stays finite for logits of ±1000', async () => {
    const z = ref([2, 3], [1000, 0, -1000, -1000, 1000, 0]);
    const [loss, g] = await run(device, [z], t => {
      const y = F.crossEntropy(F.track(t), onDevice([0, 0]), { reduction: 'none' });
      return [y, ...F.grad(y, [t])];
    });
    expect([...loss.data]).toEqual([0, 2000]);
    expect([...g.data]).toEqual([0, 0, 0, -1, 1, 0]);
  });
});

describe('labels', () => {
  it('that are no class make their rows of the gradient NaN, recorded or not, and no others', async () => {
    for (const createGraph of [false, true]) {
      const [loss, g] = await run(device, [random([3, 4], 1)], z => {
        const y = F.crossEntropy(F.track(z), onDevice([1, 4, 0]), { reduction: 'none', smoothing: 0.1 });
        return [y, ...F.grad(y, [z], { createGraph })];
      });
      expect([...loss.data].map(Number.isNaN)).toEqual([false, true, false]);
      expect([...g.data].map(Number.isNaN)).toEqual(Array.from({ length: 12 }, (_, i) => Math.floor(i / 4) === 1));
    }
  });

  it.each([F.crossEntropy, F.labelLogit, F.margin])('$name refuses what are none, and another number of them', loss => {
    const { name } = loss;
    const of = (z: Tensor, labels: Tensor) => () => scope(device, () => loss(z, labels));
    const z = zeros(device, [32, 10]);
    const wanted = "int32 class indices [32] are wanted, tensor(device, values, [32], 'i32')";
    expect(of(z, zeros(device, [32]))).toThrow(`${name} of logits [32,10] with f32 labels [32]: ${wanted}`);
    expect(of(z, zeros(device, [10], 'i32'))).toThrow(`${name} of logits [32,10] with i32 labels [10]: ${wanted}`);
    expect(of(zeros(device, [32]), zeros(device, [32], 'i32'))).toThrow('logits of shape [32]: [N, K] is wanted');
  });
});

describe('KL divergence', () => {
  it.each([
    ['sum', 'sum'],
    ['mean', 'batchmean'],
  ] as const)('%s, by both logits', async (reduction, name) => {
    const op: Operation = {
      name: 'klDivergence',
      device: (p, q) => F.klDivergence(p, q, reduction),
      forward: (p, q) => reference.klDivergence.forward(p, q, name),
      backward: (g, p, q) => reference.klDivergence.backward(p, q, name, g),
    };
    await forAll(
      sizes,
      ([n, k, seed]) => checkOperation(device, op, [random([n, k], seed + 3, -2, 2), random([n, k], seed + 4, -2, 2)], seed),
      runs,
    );
  });

  it('none: one value a row', async () => {
    const [p, q] = [random([3, 5], 1), random([3, 5], 2)];
    const [rows, total] = await run(device, [p, q], (a, b) => [F.klDivergence(a, b, 'none'), F.klDivergence(a, b)]);
    expect(rows.shape).toEqual([3]);
    expect(rows.data.reduce((a, b) => a + b)).toBeCloseTo(total.data[0], 5);
  });

  it('is 0 with gradient 0 between equal logits', async () => {
    const [value, ...gradients] = await run(device, [random([4, 6], 1), random([4, 6], 1)], (a, b) => {
      const y = F.klDivergence(F.track(a), F.track(b));
      return [y, ...F.grad(y, [a, b])];
    });
    expect(value.data[0]).toBe(0);
    for (const g of gradients) expect(Math.max(...map(g, Math.abs).data)).toBeLessThan(1e-7);
  });
});

describe('margins', () => {
  /** A row's logits all differ, so the largest other is one. */
  const apart = (n: number, k: number, seed: number): Ref => rounded(distinct([n, k], seed));
  const rows: [string, (z: Tensor, labels: Tensor) => Tensor, (labels: number[]) => Omit<Operation, 'name' | 'device'>][] = [
    [
      'margin',
      F.margin,
      labels => ({
        forward: z => reference.cwMargin.forward(z, labels),
        backward: (g, z) => reference.cwMargin.backward(z, labels, g),
      }),
    ],
    [
      'labelLogit',
      F.labelLogit,
      labels => ({
        forward: z =>
          ref(
            [labels.length],
            labels.map((y, n) => z.data[n * z.shape[1] + y]),
          ),
        backward: (g, z) =>
          ref(
            z.shape,
            [...z.data].map((_, i) =>
              labels[Math.floor(i / z.shape[1])] === i % z.shape[1] ? g.data[Math.floor(i / z.shape[1])] : 0,
            ),
          ),
      }),
    ],
  ];
  it.each(rows)('%s', async (name, f, expected) => {
    await forAll(
      sizes,
      ([n, k, seed]) => {
        const labels = integers(n, seed, k);
        const op: Operation = { name, device: z => f(z, onDevice(labels)), ...expected(labels) };
        return checkOperation(device, op, [apart(n, k, seed)], seed);
      },
      runs,
    );
  });
});
