/** Types: operations on floats refuse integers, whose bits they would compute with; those that move values keep the type. */
import { describe, expect, it } from 'vitest';
import * as gathers from '../../src/autograd/gather.ts';
import * as F from '../../src/autograd/index.ts';
import * as moves from '../../src/autograd/shape.ts';
import * as tape from '../../src/autograd/tape.ts';
import { argmax } from '../../src/tensor/reduce.ts';
import { topK } from '../../src/tensor/rows.ts';
import { kthLargest, selectMask } from '../../src/tensor/select.ts';
import { scope, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const shape = [2, 2, 2, 2];
const floats = () => zeros(device, shape);
const labels = () => zeros(device, [2], 'i32');

type Use = (x: Tensor) => unknown;

/** Each way in which a tensor can be given to an operation of two. */
const either = (op: (a: Tensor, b: Tensor) => unknown): Use[] => [x => op(x, floats()), x => op(floats(), x)];

function norm(place: number): Use {
  return x => {
    const [a, gamma, beta, mean, variance] = [shape, [2], [2], [2], [2]].map((s, i) => (i === place ? x : zeros(device, s)));
    return F.batchNorm(a, gamma, beta, { train: true, eps: 1e-5, running: { mean, var: variance, momentum: 0.1 } });
  };
}

const window = { kernel: 2 };
const uses: Record<string, Use[]> = {
  abs: [F.abs],
  adaptiveAvgPool2d: [x => F.adaptiveAvgPool2d(x)],
  add: [...either(F.add), x => F.add(x, 1)],
  argmax: [x => argmax(x)],
  avgPool2d: [x => F.avgPool2d(x, window)],
  batchNorm: [0, 1, 2, 3, 4].map(norm),
  clamp: [x => F.clamp(x, 0, 1)],
  conv2d: either((x, w) => F.conv2d(x, w)),
  conv2dInputGrad: either((g, w) => F.conv2dInputGrad(g, w, shape)),
  conv2dWeightGrad: either((x, g) => F.conv2dWeightGrad(x, g, shape)),
  crossEntropy: [z => F.crossEntropy(z, labels())],
  div: [...either(F.div), x => F.div(x, 2)],
  equal: either(F.equal),
  exp: [F.exp],
  gate: either(F.gate),
  greater: either(F.greater),
  greaterEqual: either(F.greaterEqual),
  klDivergence: [x => F.klDivergence(x, zeros(device, [2, 2])), x => F.klDivergence(zeros(device, [2, 2]), x)],
  kthLargest: [x => kthLargest(x, 1)],
  labelLogit: [z => F.labelLogit(z, labels())],
  less: either(F.less),
  lessEqual: either(F.lessEqual),
  linear: either((x, w) => F.linear(x, w)),
  log: [F.log],
  logSoftmax: [F.logSoftmax],
  margin: [z => F.margin(z, labels())],
  matmul: either((a, b) => F.matmul(a, b)),
  max: [x => F.max(x)],
  maxPool2d: [x => F.maxPool2d(x, window)],
  maximum: either(F.maximum),
  mean: [x => F.mean(x)],
  minimum: either(F.minimum),
  mul: [...either(F.mul), x => F.mul(x, 2)],
  neg: [F.neg],
  pow: [
    ...either(F.pow),
    ...[0, 1, 2, 3, -1].map(
      (b): Use =>
        x =>
          F.pow(x, b),
    ),
  ],
  relu: [F.relu],
  rsqrt: [F.rsqrt],
  scatterAdd: [x => F.scatterAdd(x, zeros(device, shape, 'i32'), 0, 2)],
  scatterAddRows: [x => F.scatterAddRows(x, labels(), 2)],
  selectMask: [x => selectMask(x, 1), x => selectMask(floats(), 1, { among: { mask: x, is: 'active' } })],
  sigmoid: [F.sigmoid],
  sign: [F.sign],
  softmax: [F.softmax],
  sqrt: [F.sqrt],
  square: [F.square],
  sub: [...either(F.sub), x => F.sub(x, 1)],
  sum: [x => F.sum(x)],
  sumTo: [x => F.sumTo(x, [1])],
  tanh: [F.tanh],
  topK: [z => topK(z, 1)],
  where: [x => F.where(x, floats(), floats()), x => F.where(floats(), x, floats()), x => F.where(floats(), floats(), x)],
};

describe('an operation on floats refuses integers', () => {
  it.each(Object.entries(uses))('%s', (_, all) => {
    for (const dtype of ['i32', 'u32'] as const)
      for (const use of all)
        expect(() => scope(device, () => void use(zeros(device, shape, dtype)))).toThrow(
          new RegExp(` of a tensor of type ${dtype}: f32 is wanted$`),
        );
  });

  it('every one that there is', () => {
    const movesValues = [
      ...Object.keys(moves),
      ...Object.keys(tape),
      ...Object.keys(gathers).filter(name => /^gather/.test(name)),
    ];
    const differentiable = Object.keys(F).filter(name => !movesValues.includes(name));
    expect(Object.keys(uses).sort()).toEqual([...differentiable, 'argmax', 'kthLargest', 'selectMask', 'topK'].sort());
  });
});

it('what moves values keeps their type', () => {
  const at = () => zeros(device, shape, 'i32');
  const moving: Use[] = [
    x => F.reshape(x, [-1]),
    F.flatten,
    x => F.permute(x, [3, 2, 1, 0]),
    x => F.transpose(x),
    x => F.flip(x, [0]),
    x => F.slice(x, [0, 0, 0, 0], [1, 1, 1, 1]),
    x => F.pad(x, [1, 0, 0, 0], [0, 0, 0, 0]),
    x => F.expand(x, [3, ...shape]),
    x => F.concat([x, x]),
    x => F.gather(x, at(), 0),
    x => F.gatherRows(x, labels()),
  ];
  for (const dtype of ['f32', 'i32', 'u32'] as const)
    for (const move of moving) scope(device, () => void expect((move(zeros(device, shape, dtype)) as Tensor).dtype).toBe(dtype));
});
