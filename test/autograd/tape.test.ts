/** What `grad` promises: which gradients, by what, at which cost, and the errors where there is none. */
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { Parameter } from '../../src/nn/module.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { copyInto } from '../../src/tensor/shape.ts';
import { capture, ones, type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const leaf = (...values: number[]) => F.track(tensor(device, values));
const values = async (t: Tensor) => [...(await t.data())];
/** The gradients of y by `wanted`, as numbers. */
const grads = (y: Tensor, wanted: Tensor[], options?: F.GradOptions) => Promise.all(F.grad(y, wanted, options).map(values));

describe('accumulation', () => {
  it('x + x', async () => {
    const x = leaf(1, 2);
    expect(await grads(F.add(x, x), [x])).toEqual([[2, 2]]);
  });

  it('x · x', async () => {
    const x = leaf(3, -4);
    expect(await grads(F.mul(x, x), [x])).toEqual([[6, -8]]);
  });

  it('a diamond: 2x + 3x², and one of three paths', async () => {
    const x = leaf(1, 2);
    expect(await grads(F.add(F.mul(x, 2), F.mul(F.square(x), 3)), [x])).toEqual([[8, 14]]);
    const h = F.mul(x, 2);
    expect(await grads(F.add(F.add(F.neg(h), F.square(h)), F.mul(h, h)), [x])).toEqual([[14, 30]]);
  });

  it('one tensor twice in one operation that takes many', async () => {
    const x = leaf(1, 2);
    const seed = tensor(device, [1, 10, 100, 1000]);
    expect(await grads(F.concat([x, x]), [x], { seed })).toEqual([[101, 1010]]);
  });

  it('sixty doublings take sixty steps', async () => {
    const x = leaf(1);
    let y: Tensor = x;
    for (let i = 0; i < 60; i++) y = F.add(y, y);
    expect(await grads(y, [x])).toEqual([[2 ** 60]]);
  });
});

it('by a map: gradients by the same names', async () => {
  const [a, b] = [leaf(1, 2), leaf(3, 4)];
  expect(() => F.grad(F.square(a), new Map([['fc.weight', b]]))).toThrow("does not depend on 'fc.weight' of shape [2]: nothing");
  const found = F.grad(
    F.mul(a, b),
    new Map([
      ['b', b],
      ['a', a],
    ]),
  );
  expect(await Promise.all([...found].map(async ([name, g]) => [name, await values(g)]))).toEqual([
    ['b', [1, 2]],
    ['a', [3, 4]],
  ]);
});

describe('a backward that adds to what there is', () => {
  /** a + b, of which a's gradient is added in its own launch. */
  const sumOf = (a: Tensor, b: Tensor) =>
    F.record(
      'sumOf',
      [a, b],
      F.noGrad(() => F.add(a, b)),
      (g, _, before) => {
        const earlier = before(0);
        return [earlier ? F.add(g, earlier) : g, g];
      },
    );

  it('gets the gradients of later uses, once, and nothing of earlier ones', async () => {
    const x = leaf(1, 2);
    expect(await grads(F.add(sumOf(x, leaf(5, 5)), F.mul(x, 3)), [x])).toEqual([[4, 4]]);
    expect(await grads(sumOf(x, x), [x])).toEqual([[2, 2]]);
    expect(await grads(F.add(sumOf(x, x), F.mul(x, 3)), [x])).toEqual([[5, 5]]);
    const h = F.mul(x, 2);
    expect(await grads(F.add(sumOf(h, sumOf(h, h)), h), [h, x])).toEqual([
      [4, 4],
      [8, 8],
    ]);
  });

  it('gets nothing where it is recorded', async () => {
    const x = leaf(1, 2);
    const [g] = F.grad(F.add(sumOf(F.square(x), x), F.mul(x, 3)), [x], { createGraph: true });
    expect(await values(g)).toEqual([6, 8]);
    expect(await grads(g, [x])).toEqual([[2, 2]]);
  });

  it('leaves no memory behind', () => {
    const x = leaf(1, 2);
    const y = F.add(sumOf(x, x), F.mul(x, 3));
    const live = device.stats.live;
    F.grad(y, [x])[0].dispose();
    expect(device.stats.live).toBe(live);
  });
});

describe('what a gradient is by', () => {
  it('an intermediate result, alone and beside its leaf', async () => {
    const x = leaf(2, 3);
    const h = F.square(x);
    const y = F.sum(F.square(h));
    expect(await grads(y, [h])).toEqual([[8, 18]]);
    expect(await grads(y, [x, h])).toEqual([
      [32, 108],
      [8, 18],
    ]);
  });

  it('an intermediate result that shares its gradient with its leaf', async () => {
    const x = leaf(2, 3);
    const h = F.add(x, 1);
    const [gh, gx] = F.grad(F.sum(F.square(h)), [h, x]);
    gh.dispose(); // each is its own to dispose
    expect(await values(F.mul(gx, 1))).toEqual([6, 8]); // a launch refuses memory that was given back
  });

  it('the result itself, and one tensor asked for twice', async () => {
    const x = leaf(2, 3);
    const y = F.mul(x, 5);
    expect(await grads(y, [y, x, x])).toEqual([
      [1, 1],
      [5, 5],
      [5, 5],
    ]);
  });

  it('one branch only: the others cost nothing', async () => {
    const [x, w] = [leaf(1, 2), leaf(3, 4)];
    const y = F.mul(F.exp(w), x);
    expect(await grads(y, [x])).toEqual([(await values(F.exp(w))).map(v => v)]);
    expect(launches(() => F.grad(y, [x]))).toHaveLength(2); // the seed of ones, and its product with exp(w)
  });

  it('nothing that the result does not depend on: an error with position and shape', () => {
    const [x, other] = [leaf(1, 2), F.track(zeros(device, [3, 4]))];
    const y = F.square(x);
    expect(() => F.grad(y, [x, other])).toThrow(/does not depend on tensor 1 of shape \[3,4\]/);
    const untracked = tensor(device, [1, 2]);
    expect(() => F.grad(F.square(untracked), [untracked])).toThrow(/does not depend on tensor 0 of shape \[2\]/);
    expect(() => F.grad(y, [x, other])).toThrow('wanted[1] of 2: nothing that was recorded leads from it to the result');
    expect(() => F.grad(y, [x, x, untracked])).toThrow('wanted[2] of 3: track it before it is used');
  });
});

describe('a tensor that was written between its use and the gradient', () => {
  const message = (shape: string, op: string) => `grad: a tensor of shape [${shape}] was written after ${op} used it`;

  it('is refused, whoever wrote it', () => {
    const writers: [string, (w: Tensor) => void][] = [
      ['the host', w => void w.write([1, 1])],
      ['the host, through a view', w => void w.reshape([2, 1]).write([1, 1])],
      ['a kernel', w => copyInto(tensor(device, [1, 1]), w)],
      ['an optimiser', w => new Sgd(new Map([['w', w as Parameter]]), { lr: 1 }).step(new Map([['w', ones(device, [2])]]))],
      ['a replay', w => void capture(device, () => copyInto(F.mul(w, 2), w)).run()],
    ];
    for (const [who, write] of writers) {
      const [w, x] = [new Parameter(tensor(device, [3, 4])), leaf(1, 2)];
      const y = F.mul(F.exp(x), w);
      write(w);
      for (const wanted of [w, x]) expect(() => F.grad(y, [wanted]), who).toThrow(message('2', 'mul'));
    }
  });

  it('is refused where it is recorded', () => {
    const x = leaf(1, 2);
    const build = () => {
      const y = F.square(x);
      copyInto(y, x);
      return F.grad(y, [x]);
    };
    expect(() => capture(device, build)).toThrow(message('2', 'square'));
  });

  it('is none where it lies on no path, was written before or after, or was computed with again', async () => {
    const [w, x, other] = [leaf(3, 4), leaf(1, 2), leaf(5, 6)];
    w.write([2, 2]);
    const y = F.add(F.mul(x, w), F.exp(other));
    other.write([0, 0]);
    expect(await grads(y, [x])).toEqual([[2, 2]]);
    w.write([7, 7]);
    expect(await grads(F.mul(x, w), [x, w])).toEqual([
      [7, 7],
      [1, 2],
    ]);
  });
});

describe('seeds', () => {
  it('weight the gradient; ones where there is none', async () => {
    const x = leaf(1, 2, 3);
    const y = F.square(x);
    expect(await grads(y, [x])).toEqual([[2, 4, 6]]);
    expect(await grads(y, [x], { seed: tensor(device, [1, 0, -1]) })).toEqual([[2, 0, -6]]);
  });

  it('survive, and do not become the result', async () => {
    const x = leaf(1, 2);
    const seed = tensor(device, [5, 7]);
    const [g] = F.grad(F.add(x, 1), [x], { seed });
    g.dispose();
    expect(await values(seed)).toEqual([5, 7]);
    expect(await grads(F.neg(F.neg(x)), [x], { seed })).toEqual([[5, 7]]);
    expect(await values(seed)).toEqual([5, 7]);
  });

  it('of another shape are refused', () => {
    const x = leaf(1, 2);
    expect(() => F.grad(F.square(x), [x], { seed: ones(device, [1, 2]) })).toThrow(
      'grad: a seed of shape [1,2] for a result of shape [2]',
    );
  });
});

describe('recording', () => {
  it('is off inside noGrad and on after it, errors included', () => {
    const x = leaf(1, 2);
    const y = F.noGrad(() => {
      expect(F.isRecording()).toBe(false);
      return F.noGrad(() => F.square(x));
    });
    expect(F.isTracked(y)).toBe(false);
    expect(() => F.grad(y, [x])).toThrow(/does not depend/);
    expect(() =>
      F.noGrad(() => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(F.isRecording()).toBe(true);
    expect(F.isTracked(F.square(x))).toBe(true);
  });

  it('refuses asynchronous work, which would record again after its first await', () => {
    expect(() => F.noGrad(async () => 1)).toThrow('noGrad is synchronous');
    expect(() => F.enableGrad(async () => 1)).toThrow('enableGrad is synchronous');
    expect(F.isRecording()).toBe(true);
  });

  it('is on inside enableGrad, in noGrad too', async () => {
    const x = leaf(1, 2);
    const y = F.noGrad(() => F.enableGrad(() => F.square(x)));
    expect(await grads(y, [x])).toEqual([[2, 4]]);
    expect(F.noGrad(() => [F.enableGrad(() => F.isRecording()), F.isRecording()])).toEqual([true, false]);
  });

  it('stops at detach, which shares the values', async () => {
    const x = leaf(3, 4);
    const frozen = F.detach(F.square(x));
    expect(await values(frozen)).toEqual([9, 16]);
    expect(await grads(F.mul(x, frozen), [x])).toEqual([[9, 16]]);
    expect(() => F.grad(F.square(frozen), [x])).toThrow(/does not depend/);
  });

  it('does not happen for operations on untracked tensors', () => {
    expect(F.isTracked(F.add(tensor(device, [1]), tensor(device, [2])))).toBe(false);
  });

  it('of a backward pass happens only with createGraph', () => {
    const x = leaf(1, 2);
    expect(F.isTracked(F.grad(F.square(x), [x])[0])).toBe(false);
    expect(F.isTracked(F.grad(F.square(x), [x], { createGraph: true })[0])).toBe(true);
  });

  it('of a wrong backward is an error that names the operation', () => {
    const x = leaf(1, 2);
    const y = F.record('odd', [x], tensor(device, [1, 2]), g => [g.reshape([1, 2])]);
    expect(() => F.grad(y, [x])).toThrow('backward of odd: gradient [1,2] for an input of shape [2]');
  });
});

describe('gradients of gradients', () => {
  it('third derivative of x⁴', async () => {
    const x = leaf(1, -2, 3);
    let y = F.square(F.square(x));
    for (const expected of [
      [4, -32, 108],
      [12, 48, 108],
      [24, -48, 72],
    ]) {
      [y] = F.grad(y, [x], { createGraph: true });
      expect(await values(y)).toEqual(expected);
    }
  });

  it('mixed: ∂²(x²w)/∂x∂w = 2x', async () => {
    const [x, w] = [leaf(1, 2), leaf(5, 7)];
    const [gx] = F.grad(F.mul(F.square(x), w), [x], { createGraph: true });
    expect(await grads(gx, [w, x])).toEqual([
      [2, 4],
      [10, 14],
    ]);
  });

  it('through the seed', async () => {
    const [x, seed] = [leaf(3, 4), leaf(1, 2)];
    const [gx] = F.grad(F.square(x), [x], { seed, createGraph: true });
    expect(await grads(gx, [seed])).toEqual([[6, 8]]);
  });
});

it('a graph of 2000 operations does not overflow the stack', async () => {
  const x = leaf(1);
  let y: Tensor = x;
  for (let i = 0; i < 2000; i++) y = F.neg(y);
  expect(await grads(y, [x])).toEqual([[1]]);
  const [g] = F.grad(y, [x], { createGraph: true });
  expect(await values(g)).toEqual([1]);
});

/** Labels of the kernels that `work` would launch. */
function launches(work: () => unknown): string[] {
  const step = capture(device, () => void work());
  const labels = step.capture.programs().map(p => p.label);
  step.dispose();
  return labels;
}

describe('cost', () => {
  // convolution, batch norm with ReLU, linear layer, cross-entropy
  const x = F.track(zeros(device, [2, 3, 4, 4]));
  const [w, gamma, beta] = [zeros(device, [4, 3, 3, 3]), ones(device, [4]), zeros(device, [4])].map(F.track);
  const linear = F.track(zeros(device, [5, 64]));
  const labels = zeros(device, [2], 'i32');
  const running = { mean: zeros(device, [4]), var: ones(device, [4]), momentum: 0.1 };
  const loss = (train: boolean) => {
    const h = F.batchNorm(F.conv2d(x, w, { padding: 1 }), gamma, beta, { train, eps: 1e-5, running, relu: true });
    return F.crossEntropy(F.linear(F.flatten(h), linear), labels);
  };
  const count = (names: string[], start: string) => names.filter(n => n.startsWith(start)).length;
  // whichever kernels the adapter uses
  const passes = (names: string[]) => names.filter(n => /^conv_(taps|gemm|matrix)\b/.test(n)).length;
  const weightGradients = (names: string[]) => names.filter(n => /^conv_\w*weight_grad\b/.test(n)).length;
  const normSums = (names: string[]) =>
    names.filter(n => /^norm_sums.*GRADIENTS=true|^norm_channel.*FORWARD=false,TRAIN=true/.test(n)).length;
  const forward = launches(() => loss(false));

  it('a gradient by the pixels launches nothing for the weights', () => {
    const names = launches(() => F.grad(loss(false), [x]));
    expect(weightGradients(names)).toBe(0);
    expect(normSums(names)).toBe(0);
    expect(passes(names)).toBe(2);
    expect(count(names, 'matmul')).toBe(count(forward, 'matmul') + 1);
  });

  it('in train mode the batch statistics need their sums, and still no weight gradient is launched', () => {
    const names = launches(() => F.grad(loss(true), [x]));
    expect(weightGradients(names)).toBe(0);
    expect(normSums(names)).toBe(1);
  });

  it('gradients by the parameters launch nothing for the pixels', () => {
    const names = launches(() => F.grad(loss(false), [w, gamma, beta, linear]));
    expect(weightGradients(names)).toBe(1);
    expect(passes(names)).toBe(1);
    expect(count(names, 'matmul')).toBe(count(forward, 'matmul') + 2);
  });

  it('a gradient by the last layer stops there', () => {
    const names = launches(() => F.grad(loss(false), [linear]));
    expect(names.filter(n => /^norm_(apply|channel).*FORWARD=false/.test(n))).toEqual([]);
    expect(count(names, 'matmul')).toBe(count(forward, 'matmul') + 1);
  });
});
