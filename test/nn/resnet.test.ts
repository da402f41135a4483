/** PreActResNet-18 of width 4 against PyTorch's values: names, logits, losses, gradients, running statistics, SGD steps, attacks. */
import { beforeEach, describe, expect, it } from 'vitest';
import { type AttackSettings, pgd } from '../../src/adv/pgd.ts';
import * as F from '../../src/autograd/index.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { readState, writeState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { scope, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { checkForward, checkGradient, fromRef, run, testDevice } from '../engine.ts';
import { type Ref, ref } from '../reference/array.ts';
import { readFixture, sample } from '../reference/fixture.ts';
import { slice } from '../reference/index.ts';

const device = await testDevice();
const fixture = readFixture('resnet18-width4');
const initial = new Map(
  Object.entries(fixture.group('state.')).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]),
);
const channels = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const model = createModel('resnet18', { device, random: new Random(0) }, { width: 4, classes: 10, ...channels });
beforeEach(() => writeState(model, initial));

const batch = (first: number, count: number) =>
  slice.forward(
    fixture.get('x'),
    fixture.get('x').shape.map((extent, axis) => (axis === 0 ? [first, first + count, 1] : [0, extent, 1])),
  );
const labels = (first: number, count: number) =>
  tensor(device, fixture.get('y').data.slice(first, first + count), [count], 'i32');

const joined = (parts: readonly ArrayLike<number>[]): Ref => {
  const values = parts.flatMap(part => Array.from(part));
  return ref([values.length], values);
};
/** The fixtures' thinning of a tensor's values. */
const thinned = ({ data }: { data: Float64Array | Float32Array }) => sample(Float64Array.from(data));

it('has the state_dict of PyTorch, in its order', () => {
  expect([...model.state()].map(([name, t]) => `${name} ${t.shape}`)).toEqual(
    [...initial].map(([name, { shape }]) => `${name} ${shape}`),
  );
});

it('gives back the state that it was given, bit by bit', async () => {
  expect(await readState(model)).toEqual(initial);
});

describe.each(['eval', 'train'] as const)('%s mode', mode => {
  it('logits, loss, gradient by the pixels', async () => {
    model.train(mode === 'train');
    const [logits, loss, gx] = await run(device, [batch(0, 4)], x => {
      const z = model.forward(F.track(x));
      const value = F.crossEntropy(z, labels(0, 4));
      return [z, value, ...F.grad(value, [x])];
    });
    checkForward('PreActResNet-18', logits, fixture.get(`${mode}.logits`));
    checkForward('PreActResNet-18', loss, fixture.get(`${mode}.loss`));
    checkGradient('PreActResNet-18', joined([thinned(gx)]), fixture.get(`${mode}.grad.x`), 1e-4);
  });
});

it('train mode: gradients by every parameter, running statistics', async () => {
  model.train();
  const parameters = model.parameters();
  const gradients = await run(device, [batch(0, 4)], x =>
    F.grad(F.crossEntropy(model.forward(x), labels(0, 4)), [...parameters.values()]),
  );
  // a gradient of its own can be nearly 0, against which float32 has no relative bound: single ones loosely, all together sharply
  const expected = [...parameters.keys()].map(name => fixture.get(`train.grad.${name}`).data);
  for (const [i, name] of [...parameters.keys()].entries()) {
    checkGradient(`PreActResNet-18`, joined([thinned(gradients[i])]), joined([expected[i]]), 1e-3);
    expect(gradients[i].shape, name).toEqual(parameters.get(name)!.shape);
  }
  checkGradient('PreActResNet-18', joined(gradients.map(thinned)), joined(expected), 2e-5);
  const after = Object.entries(fixture.group('train.after.'));
  const state = await readState(model);
  expect(after).toHaveLength(34);
  checkForward('running statistics', joined(after.map(([name]) => state.get(name)!.data)), joined(after.map(([, t]) => t.data)));
});

it('three SGD steps: losses, and the whole state after', async () => {
  model.train();
  const parameters = model.parameters();
  const options = { lr: fixture.meta<number>('lr'), momentum: fixture.meta<number>('momentum') };
  const optimiser = new Sgd(parameters, { ...options, weightDecay: fixture.meta<number>('weightDecay') });
  const losses: number[] = [];
  for (const first of [0, 4, 0]) {
    const loss = scope(device, () => {
      const value = F.crossEntropy(model.forward(fromRef(device, batch(first, 4))), labels(first, 4));
      const gradients = F.grad(value, [...parameters.values()]);
      optimiser.step(new Map([...parameters.keys()].map((name, i) => [name, gradients[i]])));
      return value;
    });
    losses.push(await loss.item());
    loss.dispose();
  }
  optimiser.dispose();
  checkForward('SGD steps', joined([losses]), joined([fixture.get('sgd.losses').data]), 1e-4);
  const state = await readState(model);
  const names = [...state.keys()];
  checkForward(
    'SGD steps',
    joined(names.map(name => thinned(state.get(name)!))),
    joined(names.map(name => fixture.get(`sgd.after.${name}`).data)),
    1e-4,
  );
});

describe('PGD with three steps', () => {
  const linf = { norm: 'linf', eps: fixture.meta<number>('eps'), stepSize: fixture.meta<number>('alpha') } as const;
  const { eps, alpha } = fixture.meta<{ eps: number; alpha: number }>('l2');
  const forward = (x: Tensor) => model.forward(x);
  const attack = async (settings: Pick<AttackSettings, 'norm' | 'eps' | 'stepSize'>) => {
    const [adv] = await run(device, [batch(0, 3)], x =>
      pgd(forward, x, labels(0, 3), { ...settings, steps: 3, randomInit: false }, new Random(0)),
    );
    return adv;
  };
  /** A gradient of nearly 0 may have another sign in float32, and that pixel then goes the other way: two in a thousand may. */
  const sameButFew = (found: Ref, expected: Ref) =>
    expect(found.data.filter((v, i) => Math.abs(v - expected.data[i]) > 1e-6).length / found.data.length).toBeLessThan(2e-3);

  it('in Linf, eval mode', async () => {
    model.eval();
    sameButFew(await attack(linf), fixture.get('pgd.eval.adv'));
    expect(await readState(model)).toEqual(initial);
  });

  it('in Linf, train mode; the running statistics move, the parameters do not', async () => {
    model.train();
    sameButFew(await attack(linf), fixture.get('pgd.train.adv'));
    const after = await readState(model);
    for (const [name, { data }] of after) {
      if (name.includes('running_')) expect(data, name).not.toEqual(initial.get(name)!.data);
      else expect(data, name).toEqual(initial.get(name)!.data);
    }
  });

  it('in L2, eval mode', async () => {
    model.eval();
    checkForward('PGD-L2', await attack({ norm: 'l2', eps, stepSize: alpha }), fixture.get('pgd.l2.adv'), 1e-5);
  });
});
