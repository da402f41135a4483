/** Derivatives of matrix products, and of reading and adding up by index. */
import fc from 'fast-check';
import { describe, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { between, forAll, random, seeds, shapes, testDevice } from '../engine.ts';
import { ref } from '../reference/array.ts';
import { add } from '../reference/elementwise.ts';
import * as move from '../reference/index.ts';
import { matmul } from '../reference/linalg.ts';
import { integers } from '../reference/random.ts';
import { checkOperation, type Operation } from './operation.ts';

const device = await testDevice();
const size = fc.oneof(between(1, 6), between(7, 19));

describe('matrix products', () => {
  it('matmul, transposed and batched', async () => {
    const batches = fc.constantFrom<[number[], number[]]>(
      [[], []],
      [[3], [3]],
      [
        [2, 2],
        [2, 2],
      ],
      [[3], []],
      [[], [2]],
    );
    await forAll(
      fc.tuple(size, size, size, batches, fc.boolean(), fc.boolean(), seeds),
      ([m, k, n, [batchA, batchB], transposeA, transposeB, seed]) => {
        const options = { transposeA, transposeB };
        const op: Operation = {
          name: 'matmul',
          device: (a, b) => F.matmul(a, b, options),
          forward: (a, b) => matmul.forward(a, b, options),
          backward: (g, a, b) => matmul.backward(a, b, options, g),
        };
        const a = random([...batchA, ...(transposeA ? [k, m] : [m, k])], seed + 10);
        const b = random([...batchB, ...(transposeB ? [n, k] : [k, n])], seed + 11);
        return checkOperation(device, op, [a, b], seed);
      },
      20,
    );
  });

  it('linear, with and without bias', async () => {
    const transposeB = true;
    await forAll(
      fc.tuple(size, size, size, fc.boolean(), seeds),
      ([n, inputs, outputs, bias, seed]) => {
        const op: Operation = {
          name: 'linear',
          device: (x, w, b?) => F.linear(x, w, b),
          forward: (x, w, b?) => {
            const y = matmul.forward(x, w, { transposeB });
            return b ? add.forward(y, b) : y;
          },
          backward: (g, x, w, b?) => {
            const gradients = matmul.backward(x, w, { transposeB }, g);
            return b ? [...gradients, add.backward(g, b, g)[1]] : gradients;
          },
        };
        const parameters = [random([outputs, inputs], seed + 1), ...(bias ? [random([outputs], seed + 2)] : [])];
        return checkOperation(device, op, [random([n, inputs], seed + 3), ...parameters], seed);
      },
      15,
    );
  });
});

describe('by index', () => {
  /** x, and an index of its shape but along the axis. */
  const indexed = fc
    .tuple(shapes({ minRank: 1, maxRank: 4 }), between(0, 3), between(1, 6), seeds)
    .map(([shape, at, count, seed]) => {
      const axis = at % shape.length;
      const index = shape.with(axis, count);
      const places = integers(
        index.reduce((a, b) => a * b, 1),
        seed,
        shape[axis],
      );
      return { shape, axis, index: ref(index, places), seed };
    });

  it('gather', async () => {
    await forAll(
      indexed,
      ({ shape, axis, index, seed }) => {
        const op: Operation = {
          name: 'gather',
          device: x => F.gather(x, tensor(device, index.data, index.shape, 'i32'), axis - (seed % 2) * shape.length),
          forward: x => move.gather.forward(x, axis, index),
          backward: (g, x) => move.gather.backward(x, axis, index, g),
        };
        return checkOperation(device, op, [random(shape, seed + 5)], seed, { forward: 0 });
      },
      15,
    );
  });

  it('scatterAdd', async () => {
    await forAll(
      indexed,
      ({ shape, axis, index, seed }) => {
        const empty = ref(shape);
        const op: Operation = {
          name: 'scatterAdd',
          device: x =>
            F.scatterAdd(x, tensor(device, index.data, index.shape, 'i32'), axis - (seed % 2) * shape.length, shape[axis]),
          forward: x => move.scatterAdd.forward(empty, axis, index, x),
          backward: (g, x) => move.scatterAdd.backward(empty, axis, index, x, g)[1],
        };
        return checkOperation(device, op, [random(index.shape, seed + 5)], seed);
      },
      15,
    );
  });

  it('gatherRows and scatterAddRows', async () => {
    const examples = fc.tuple(between(1, 6), between(1, 9), shapes({ maxRank: 3, maxSize: 4 }), seeds);
    await forAll(
      examples,
      async ([rows, count, rest, seed]) => {
        const places = integers(count, seed, rows);
        const at = () => tensor(device, places, [count], 'i32');
        // the same index for every element of a row
        const inner = rest.reduce((a, b) => a * b, 1);
        const index = ref(
          [count, ...rest],
          places.flatMap(p => new Array<number>(inner).fill(p)),
        );
        const empty = ref([rows, ...rest]);
        const gather: Operation = {
          name: 'gatherRows',
          device: x => F.gatherRows(x, at()),
          forward: x => move.gather.forward(x, 0, index),
          backward: (g, x) => move.gather.backward(x, 0, index, g),
        };
        const scatter: Operation = {
          name: 'scatterAddRows',
          device: x => F.scatterAddRows(x, at(), rows),
          forward: x => move.scatterAdd.forward(empty, 0, index, x),
          backward: (g, x) => move.scatterAdd.backward(empty, 0, index, x, g)[1],
        };
        await checkOperation(device, gather, [random(empty.shape, seed + 5)], seed, { forward: 0 });
        await checkOperation(device, scatter, [random(index.shape, seed + 6)], seed);
      },
      10,
    );
  });
});
