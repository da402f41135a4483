/** Layers: PyTorch's values where it has them, and what each promises. */
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  ChannelNorm,
  Conv2d,
  Dropout,
  Flatten,
  Linear,
  MaxPool2d,
  ReLU,
} from '../../src/nn/layers.ts';
import { writeState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { capture, ones, scope, zeros } from '../../src/tensor/tensor.ts';
import { checkForward, checkGradient, random, run, testDevice, toRef } from '../engine.ts';
import { map, type Ref, ref } from '../reference/array.ts';
import { conv2d } from '../reference/conv.ts';
import { add, div, relu, sub } from '../reference/elementwise.ts';
import { readFixture } from '../reference/fixture.ts';
import { matmul } from '../reference/linalg.ts';
import * as norm from '../reference/norm.ts';
import { adaptiveAvgPool2d, maxPool2d } from '../reference/pool.ts';

const device = await testDevice();
const maker = (seed = 1) => ({ device, random: new Random(seed) });
const hostState = (state: Record<string, Ref>) =>
  new Map(Object.entries(state).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]));

describe('Conv2d', () => {
  it('with bias, stride, padding and groups', async () => {
    const layer = new Conv2d(maker(), 4, 6, 3, { stride: 2, padding: 1, groups: 2 });
    const state = { weight: random([6, 2, 3, 3], 1), bias: random([6], 2) };
    writeState(layer, hostState(state));
    const x = random([2, 4, 5, 6], 3);
    const y = conv2d.forward(x, state.weight, { stride: [2, 2], padding: [1, 1], dilation: [1, 1], groups: 2 });
    const [found] = await run(device, [x], t => layer.forward(t));
    checkForward('Conv2d', found, add.forward(y, ref([1, 6, 1, 1], state.bias.data)));
  });

  it('has a bias unless told otherwise, as in PyTorch', () => {
    expect([...new Conv2d(maker(), 2, 3, 3).parameters().keys()]).toEqual(['weight', 'bias']);
    expect([...new Conv2d(maker(), 2, 3, 3, { bias: false }).parameters().keys()]).toEqual(['weight']);
  });
});

describe('Conv2d refuses', () => {
  it.each([
    [3, 4, 3, { groups: 2 }, 'Conv2d of 3 to 4 channels: 2 groups do not divide both channels'],
    [4, 3, 3, { groups: 2 }, 'Conv2d of 4 to 3 channels: 2 groups do not divide both channels'],
    [4, 4, 3, { groups: 0 }, 'groups 0, where a whole number of 1 or more is wanted'],
    [4, 4, 3, { stride: 0 }, 'Conv2d of 4 to 4 channels: stride 0, where a whole number of 1 or more is wanted'],
    [4, 4, 3, { stride: 1.5 }, 'stride 1.5, where'],
    [4, 4, 3, { padding: 0.5 }, 'padding 0.5, where a whole number of 0 or more is wanted'],
    [4, 4, 3, { dilation: 0 }, 'dilation 0, where'],
    [4, 4, 0, {}, 'kernel 0, where'],
    [0, 4, 3, {}, 'inputs 0, where'],
    [4, 1.5, 3, {}, 'outputs 1.5, where'],
  ])('%i to %f channels, kernel %i, %j', (inputs, outputs, kernel, options, message) => {
    expect(() => new Conv2d(maker(), inputs, outputs, kernel, options)).toThrow(message);
  });
});

describe('Linear', () => {
  it.each([true, false])('bias %s', async bias => {
    const layer = new Linear(maker(), 7, 5, bias);
    const [x, weight] = [random([3, 7], 1), await toRef(layer.weight)];
    const product = matmul.forward(x, weight, { transposeB: true });
    const [found] = await run(device, [x], t => layer.forward(t));
    checkForward('Linear', found, layer.bias ? add.forward(product, await toRef(layer.bias)) : product);
  });
});

describe('BatchNorm2d', () => {
  const fixture = readFixture('operations');
  const rows = ['train', 'eval'].flatMap(mode => ['plain', 'relu'].map(kind => ({ mode, kind })));
  it.each(rows)("$mode, $kind: PyTorch's output, gradients and running statistics", async ({ mode, kind }) => {
    const get = (name: string) => fixture.get(`norm.${mode}.${kind}.${name}`);
    const layer = new BatchNorm2d(maker(), 3).train(mode === 'train');
    const state = { weight: get('in.gamma'), bias: get('in.beta'), running_mean: get('mean'), running_var: get('var') };
    writeState(layer, hostState(state));
    const [y, ...gradients] = await run(device, [get('in.x'), get('g')], (x, seed) => {
      const out = kind === 'relu' ? layer.relu(F.track(x)) : layer.forward(F.track(x));
      return [out, ...F.grad(out, [x, layer.weight, layer.bias], { seed })];
    });
    checkForward('BatchNorm2d', y, get('out'));
    checkGradient('BatchNorm2d', gradients, [get('grad.x'), get('grad.gamma'), get('grad.beta')], 2e-5);
    checkForward('BatchNorm2d', await toRef(layer.running_mean), get('meanAfter'));
    checkForward('BatchNorm2d', await toRef(layer.running_var), get('varAfter'));
  });

  it('starts as the identity of standardised values', async () => {
    const layer = new BatchNorm2d(maker(), 4).eval();
    const x = random([2, 4, 3, 3], 1);
    const [y] = await run(device, [x], t => layer.forward(t));
    checkForward(
      'BatchNorm2d',
      y,
      map(x, v => v / Math.sqrt(1 + 1e-5)),
    );
  });

  it('takes eps and momentum, by default those of PyTorch', async () => {
    const layer = new BatchNorm2d(maker(), 2, { eps: 0.5, momentum: 0.25 });
    const x = random([3, 2, 2, 2], 4);
    const [y] = await run(device, [x], t => layer.forward(t));
    checkForward('BatchNorm2d', y, norm.batchNormTrain.forward(x, ref([2], 1), ref([2], 0), { eps: 0.5 }));
    const after = norm.updateRunning(x, { mean: ref([2], 0), variance: ref([2], 1) }, 0.25);
    checkForward('BatchNorm2d', await toRef(layer.running_mean), after.mean);
    checkForward('BatchNorm2d', await toRef(layer.running_var), after.variance);
    const { eps, momentum } = new BatchNorm2d(maker(), 2);
    expect([eps, momentum]).toEqual([1e-5, 0.1]);
    expect(() => new BatchNorm2d(maker(), 2, { eps: -1 })).toThrow('eps -1, where 0 or more is wanted');
    expect(() => new BatchNorm2d(maker(), 2, { momentum: 2 })).toThrow('momentum 2, where 0 to 1 is wanted');
  });

  it('of another number of channels leaves its running statistics alone', async () => {
    const layer = new BatchNorm2d(maker(), 3);
    for (const mode of [true, false])
      expect(() => scope(device, () => layer.train(mode).forward(zeros(device, [2, 5, 4, 4])))).toThrow(
        'batch norm of [2,5,4,4] with gamma [3]: 5 elements are wanted, one a channel',
      );
    expect([...(await layer.running_mean.floats()), ...(await layer.running_var.floats())]).toEqual([0, 0, 0, 1, 1, 1]);
  });

  it('moves its running statistics once for every forward pass in train mode', async () => {
    const layer = new BatchNorm2d(maker(), 2);
    const batches = [random([3, 2, 2, 2], 1), random([3, 2, 2, 2], 2, 0, 3)];
    await run(device, batches, (a, b) => [layer.forward(a), layer.relu(b)]);
    const start = { mean: ref([2], 0), variance: ref([2], 1) };
    const expected = batches.reduce((running, x) => norm.updateRunning(x, running), start);
    checkForward('BatchNorm2d', await toRef(layer.running_mean), expected.mean);
    checkForward('BatchNorm2d', await toRef(layer.running_var), expected.variance);
  });
});

describe('layers without parameters', () => {
  const x = random([2, 3, 6, 5], 1);

  it('ChannelNorm standardises each channel and has no state', async () => {
    const [mean, std] = [
      [0.4914, 0.4822, 0.4465],
      [0.247, 0.2435, 0.2616],
    ];
    const layer = new ChannelNorm(maker(), mean, std);
    expect(layer.state().size).toBe(0);
    const [m, s] = [mean, std].map(values => ref([1, 3, 1, 1], values));
    const [y, gx] = await run(device, [x], t => {
      const out = layer.forward(F.track(t));
      return [out, ...F.grad(out, [t])];
    });
    checkForward('ChannelNorm', y, div.forward(sub.forward(x, m), s));
    checkGradient('ChannelNorm', gx, div.backward(x, s, ref(x.shape, 1))[0]);
  });

  it('ReLU, MaxPool2d, AdaptiveAvgPool2d, Flatten', async () => {
    const found = await run(device, [x], t => [
      new ReLU().forward(t),
      new MaxPool2d(2).forward(t),
      new MaxPool2d(3, 2, 1).forward(t),
      new AdaptiveAvgPool2d().forward(t),
      new AdaptiveAvgPool2d([4, 3]).forward(t),
      new Flatten().forward(t),
    ]);
    const pool = (k: number, s: number, p: number) => maxPool2d.forward(x, { kernel: [k, k], stride: [s, s], padding: [p, p] });
    const expected = [
      relu.forward(x),
      pool(2, 2, 0),
      pool(3, 2, 1),
      adaptiveAvgPool2d.forward(x, [1, 1]),
      adaptiveAvgPool2d.forward(x, [4, 3]),
      ref([2, 90], x.data),
    ];
    for (const [i, y] of found.entries()) checkForward('layers without parameters', y, expected[i]);
  });
});

describe('Dropout', () => {
  const n = 40_000;
  const p = 0.3;
  const x = () => ones(device, [n]);

  it('zeroes each element with probability p and scales the others by 1/(1-p)', async () => {
    const layer = new Dropout(maker(), p);
    const values = await layer.forward(x()).floats();
    const zeroed = values.filter(v => v === 0).length;
    expect(values.every(v => v === 0 || v === Math.fround(1 / (1 - p)))).toBe(true);
    const deviation = Math.sqrt(n * p * (1 - p));
    expect(Math.abs(zeroed - p * n)).toBeLessThan(5 * deviation);
  });

  it('is the identity in eval mode and for p = 0', () => {
    const input = x();
    expect(new Dropout(maker(), p).eval().forward(input)).toBe(input);
    expect(new Dropout(maker(), 0).forward(input)).toBe(input);
  });

  it('depends on the seed alone, anew in every pass', async () => {
    const passes = async (seed: number) => {
      const layer = new Dropout(maker(seed), p);
      return [await layer.forward(x()).floats(), await layer.forward(x()).floats()];
    };
    const first = await passes(1);
    expect(await passes(1)).toEqual(first);
    expect(first[1]).not.toEqual(first[0]);
    expect((await passes(2))[0]).not.toEqual(first[0]);
  });

  it('of two layers of one model are independent', async () => {
    const shared = maker();
    const layers = [new Dropout(shared, 0.5), new Dropout(shared, 0.5)];
    const [a, b] = await Promise.all(layers.map(layer => layer.forward(x()).floats()));
    const both = a.filter((v, i) => v === 0 && b[i] === 0).length;
    expect(Math.abs(both - n / 4)).toBeLessThan(5 * Math.sqrt((n * 3) / 16));
  });

  it('passes gradients where it passes values', async () => {
    const layer = new Dropout(maker(), p);
    const input = F.track(x());
    const y = layer.forward(input);
    expect(await F.grad(y, [input])[0].floats()).toEqual(await y.floats());
  });

  it('in a captured step draws anew when its counter is raised', async () => {
    const layer = new Dropout(maker(), p);
    layer.step = zeros(device, [1], 'u32');
    const input = x();
    const step = capture(device, () => layer.forward(input));
    const first = await step.run().floats();
    expect(await step.run().floats()).toEqual(first);
    layer.step.write([1]);
    expect(await step.run().floats()).not.toEqual(first);
    step.dispose();
  });

  it('in a captured step without a counter draws anew in every replay, the first as outside of it', async () => {
    const [layer, eager] = [new Dropout(maker(), p), new Dropout(maker(), p)];
    const input = x();
    const step = capture(device, () => layer.forward(input));
    const first = await step.run().floats();
    expect(first).toEqual(await eager.forward(input).floats());
    const second = await step.run().floats();
    expect(second).not.toEqual(first);
    expect(await step.run().floats()).not.toEqual(second);
    step.dispose();
  });

  it('in a step that is captured again drops what it dropped before', async () => {
    const layer = new Dropout(maker(), p);
    layer.step = zeros(device, [1], 'u32');
    const input = x();
    const captured = async () => {
      const step = capture(device, () => layer.forward(input));
      const steps = [];
      for (const i of [3, 7]) {
        layer.step!.write([i]);
        steps.push(await step.run().floats());
      }
      step.dispose();
      return steps;
    };
    expect(await captured()).toEqual(await captured());
  });

  it.each([-0.1, 1, Number.NaN])('refuses the probability %s', bad => {
    expect(() => new Dropout(maker(), bad)).toThrow(/0 <= p < 1/);
  });
});
