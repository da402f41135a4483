/** Cases of the kernels that map, reduce, draw and move values. */
import { type Elementwise, expressions } from '../../kernels/elementwise.ts';
import { reduceSlices } from '../../kernels/reduce.ts';
import { elementwise } from '../../tensor/elementwise.ts';
import { gather, gatherRows, oneHot, scatterAddRows } from '../../tensor/index.ts';
import { Random } from '../../tensor/philox.ts';
import { randomNormal, randomPermutation, randomUniform } from '../../tensor/random.ts';
import { argmax, sum } from '../../tensor/reduce.ts';
import { concat, permute } from '../../tensor/shape.ts';
import { empty, full, sizeOf } from '../../tensor/tensor.ts';
import { bytesOf, each, floats, indices, type KernelCase } from './case.ts';

type Size = KernelCase['size'];

function mapCase(op: Elementwise, shapes: number[][], value: (...v: number[]) => number, size: Size): KernelCase {
  const n = sizeOf(shapes[0]);
  return {
    title: `${op}: ${expressions[op]} of ${shapes.map(s => `[${s}]`).join(', ')}`,
    size,
    inputs: () => shapes.map((shape, i) => floats(shape, i + 1, 0.1, 2)),
    launch: (_, inputs) => [elementwise(op, inputs)],
    // further inputs are as large as the first, or rows [W] or channels [C, 1, 1] of it
    reference: inputs => [each(n, i => value(...inputs.map((v, k) => v[positionIn(shapes[k], shapes[0], i)])))],
    tolerance: 1e-5,
    work: bytesOf(n + shapes.reduce((total, shape) => total + sizeOf(shape), 0)),
  };
}

/** The position in an array of `shape`, broadcast to `target`, that element i of the target reads. */
function positionIn(shape: readonly number[], target: readonly number[], i: number): number {
  let position = 0;
  let stride = 1;
  for (let d = 1; d <= target.length; d++) {
    const extent = target[target.length - d];
    const own = shape[shape.length - d] ?? 1;
    if (own > 1) position += (i % extent) * stride;
    stride *= own;
    i = Math.floor(i / extent);
  }
  return position;
}

/** [outer, count, inner] over the middle: sums, and the position of the first largest. */
function reduceCase(kind: 'sum' | 'argmax', outer: number, count: number, inner: number, size: Size): KernelCase {
  const shape = [outer, count, inner];
  return {
    title: `${kind} of [${shape}] over axis 1`,
    size,
    inputs: () => [floats(shape, 1)],
    launch: (_, [x]) => [kind === 'sum' ? sum(x, { axes: [1] }) : argmax(x, { axes: [1] })],
    reference: ([x]) => [
      each(outer * inner, o => {
        const at = (j: number) => x[(Math.floor(o / inner) * count + j) * inner + (o % inner)];
        let total = 0;
        let best = 0;
        for (let j = 0; j < count; j++) {
          total += at(j);
          if (at(j) > at(best)) best = j;
        }
        return kind === 'sum' ? total : best;
      }),
    ],
    tolerance: kind === 'sum' ? 1e-5 : 0,
    work: bytesOf(sizeOf(shape) + outer * inner),
  };
}

function slicesCase(slices: number, n: number, size: Size): KernelCase {
  return {
    title: `sum of ${slices} slices of ${n}`,
    size,
    inputs: () => [floats([slices, n], 1)],
    launch: (device, [part]) => {
      const y = empty(device, [n]);
      reduceSlices(device, part.storage, y.storage, slices, n);
      return [y];
    },
    reference: ([part]) => [
      each(n, i => {
        let total = 0;
        for (let s = 0; s < slices; s++) total += part[s * n + i];
        return total;
      }),
    ],
    tolerance: 1e-5,
    work: bytesOf((slices + 1) * n),
  };
}

function fillCase(n: number, size: Size): KernelCase {
  return {
    title: `0.5 into ${n} elements`,
    size,
    inputs: () => [],
    launch: device => [full(device, [n], 0.5)],
    reference: () => [each(n, () => 0.5)],
    tolerance: 0,
    work: bytesOf(n),
  };
}

/** Normals by Box-Muller from the words' pairs, as random.wgsl says; uniforms agree in every bit. */
function randomCase(kind: 'uniform' | 'normal', n: number, size: Size): KernelCase {
  return {
    title: `${n} ${kind}s`,
    size,
    inputs: () => [],
    launch: device => [(kind === 'uniform' ? randomUniform : randomNormal)(device, [n], new Random(1))],
    reference: () => {
      if (kind === 'uniform') return [new Random(1).uniform(n)];
      const words = new Random(1).words(4 * Math.ceil(n / 4));
      return [
        each(n, i => {
          const radius = Math.sqrt(-2 * Math.log(1 - (words[i - (i % 2)] >>> 8) / 2 ** 24));
          const angle = (2 * Math.PI * (words[i - (i % 2) + 1] >>> 8)) / 2 ** 24;
          return radius * (i % 2 ? Math.sin(angle) : Math.cos(angle));
        }),
      ];
    },
    tolerance: kind === 'uniform' ? 0 : 1e-3, // WGSL allows sin and cos an absolute error of 2^-11
    work: bytesOf(n),
  };
}

function sortCase(n: number, size: Size): KernelCase {
  return {
    title: `permutation of ${n} by random words`,
    size,
    inputs: () => [],
    launch: device => [randomPermutation(device, n, new Random(1))],
    reference: () => [new Random(1).permutation(n)],
    tolerance: 0,
    work: bytesOf(2 * n),
  };
}

function permuteCase(shape: [number, number, number], size: Size): KernelCase {
  const [a, b, c] = shape;
  return {
    title: `permute [${shape}] to [${[c, a, b]}]`,
    size,
    inputs: () => [floats(shape, 1)],
    launch: (_, [x]) => [permute(x, [2, 0, 1])],
    reference: ([x]) => [each(a * b * c, i => x[(i % (a * b)) * c + Math.floor(i / (a * b))])],
    tolerance: 0,
    work: bytesOf(2 * a * b * c),
  };
}

/** The second of two halves of the middle dimension moves. */
function placeCase(outer: number, count: number, inner: number, size: Size): KernelCase {
  const shape = [outer, count, inner];
  return {
    title: `two arrays [${shape}] joined along axis 1`,
    size,
    inputs: () => [floats(shape, 1), floats(shape, 2)],
    launch: (_, [a, b]) => [concat([a, b], 1)],
    reference: ([a, b]) => [
      each(2 * sizeOf(shape), i => {
        const half = count * inner;
        const within = i % (2 * half);
        return (within < half ? a : b)[Math.floor(i / (2 * half)) * half + (within % half)];
      }),
    ],
    tolerance: 0,
    work: bytesOf(4 * sizeOf(shape)),
  };
}

function rowsCase(op: 'rows' | 'rows added', count: number, inner: number, total: number, size: Size): KernelCase {
  const given = op === 'rows' ? total : count;
  return {
    title: `${op}: ${count} rows of ${inner}, indices below ${total}`,
    size,
    inputs: () => [floats([given, inner], 1), indices([count], 2, total)],
    launch: (_, [x, at]) => [op === 'rows' ? gatherRows(x, at) : scatterAddRows(x, at, total)],
    reference: ([x, at]) => {
      if (op === 'rows') return [each(count * inner, i => x[at[Math.floor(i / inner)] * inner + (i % inner)])];
      const y = new Float64Array(total * inner);
      for (let i = 0; i < count * inner; i++) y[at[Math.floor(i / inner)] * inner + (i % inner)] += x[i];
      return [y];
    },
    tolerance: op === 'rows' ? 0 : 1e-5,
    work: bytesOf((total + count) * inner + count),
  };
}

const gatherCase: KernelCase = {
  title: 'one of 10 classes in each of 50 rows, and its one-hot row',
  size: 'small',
  inputs: () => [floats([50, 10], 1), indices([50, 1], 2, 10)],
  launch: (_, [x, at]) => [gather(x, at, 1), oneHot(at.reshape([50]), 10)],
  reference: ([x, at]) => [each(50, i => x[i * 10 + at[i]]), each(500, i => Number(at[Math.floor(i / 10)] === i % 10))],
  tolerance: 0,
  work: bytesOf(650),
};

/** By kernel file. */
export const valueCases: Readonly<Record<string, readonly KernelCase[]>> = {
  elementwise: [
    mapCase('add', [[5, 3, 7], [7]], (a, b) => a + b, 'small'),
    mapCase(
      'standardise',
      [
        [2, 3, 4, 5],
        [3, 1, 1],
        [3, 1, 1],
      ],
      (a, b, c) => (a - b) / c,
      'small',
    ),
    mapCase('relu', [[301]], a => Math.max(a, 0), 'small'),
    mapCase('mul', [[2 ** 22], [2 ** 22]], (a, b) => a * b, 'large'),
  ],
  fill: [fillCase(301, 'small'), fillCase(2 ** 22, 'large')],
  index: [gatherCase, rowsCase('rows added', 30, 7, 9, 'small'), rowsCase('rows', 4096, 512, 8192, 'large')],
  place: [placeCase(3, 4, 5, 'small'), placeCase(64, 128, 256, 'large')],
  random: [randomCase('uniform', 301, 'small'), randomCase('normal', 301, 'small'), randomCase('uniform', 2 ** 20, 'large')],
  reduce: [
    reduceCase('sum', 3, 200, 5, 'small'),
    reduceCase('argmax', 4, 30, 3, 'small'),
    reduceCase('sum', 64, 512, 128, 'large'),
    reduceCase('sum', 16, 2 ** 18, 1, 'large'),
  ],
  reduce_slices: [slicesCase(5, 301, 'small'), slicesCase(64, 2 ** 16, 'large')],
  sort: [sortCase(300, 'small'), sortCase(50_000, 'large')],
  strided: [permuteCase([3, 5, 7], 'small'), permuteCase([64, 256, 256], 'large')],
};
