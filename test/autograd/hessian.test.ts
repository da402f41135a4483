/** The product of a whole network's Hessian with a vector, as GraSP needs it, against differences of float64 gradients. */
import { beforeEach, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { writeState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { checkSecondGradient, random, run, testDevice } from '../engine.ts';
import { type Ref, ref, scalar, zip } from '../reference/array.ts';
import { readFixture } from '../reference/fixture.ts';
import { slice } from '../reference/index.ts';
import { crossEntropy } from '../reference/loss.ts';
import { preActResNet18, type State } from '../reference/model.ts';

const device = await testDevice();
const fixture = readFixture('resnet18-width4');
const state = fixture.group('state.');
const images = slice.forward(fixture.get('x'), [
  [0, 4, 1],
  [0, 3, 1],
  [0, 16, 1],
  [0, 16, 1],
]);
const labels = [...fixture.get('y').data.slice(0, 4)];

const channels = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const model = createModel('resnet18', { device, random: new Random(0) }, { width: 4, classes: 10, ...channels });
const names = [...model.parameters().keys()];

const initial = new Map(Object.entries(state).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]));
beforeEach(() => writeState(model, initial)); // a forward pass in train mode moves the running statistics

/** Small, since thousands of ReLUs bend and none should between the two points of a difference. */
const H = 1e-7;
const joined = (parts: readonly Ref[]) =>
  ref(
    [parts.reduce((n, p) => n + p.data.length, 0)],
    parts.flatMap(p => [...p.data]),
  );

/** Float64 gradients of the mean cross-entropy by pixels and parameters. */
function gradients(at: State, x: Ref, train: boolean) {
  const pass = preActResNet18(at, x, train);
  return pass.backward(crossEntropy.backward(pass.logits, labels, {}, scalar(1)));
}

it.each([true, false])('by the parameters, train mode %s', async train => {
  const v = Object.fromEntries(names.map((name, i) => [name, random(state[name].shape, i + 1)]));
  model.train(train);
  const found = await run(device, [images, ...names.map(name => v[name])], (x, ...along) => {
    const parameters = [...model.parameters().values()];
    const loss = F.crossEntropy(model.forward(x), tensor(device, labels, [4], 'i32'));
    const first = F.grad(loss, parameters, { createGraph: true });
    const product = first.map((g, i) => F.sum(F.mul(g, along[i]))).reduce((a, b) => F.add(a, b));
    return F.grad(product, parameters);
  });
  const moved = (step: number): State => ({
    ...state,
    ...Object.fromEntries(names.map(name => [name, zip(state[name], v[name], (w, d) => w + step * d)])),
  });
  const [plus, minus] = [H, -H].map(step => gradients(moved(step), images, train).parameters);
  const expected = names.map(name => zip(plus[name], minus[name], (a, b) => (a - b) / (2 * H)));
  checkSecondGradient(`PreActResNet-18 ${train ? 'train' : 'eval'}, Hv`, joined(found), joined(expected), 1e-4);
});

it('by the pixels, eval mode', async () => {
  const v = random(images.shape, 1);
  model.eval();
  const [found] = await run(device, [images, v], (x, along) => {
    const pixels = F.track(x);
    const loss = F.crossEntropy(model.forward(pixels), tensor(device, labels, [4], 'i32'));
    const [g] = F.grad(loss, [pixels], { createGraph: true });
    return F.grad(F.sum(F.mul(g, along)), [pixels]);
  });
  const moved = (step: number) => zip(images, v, (value, d) => value + step * d);
  const expected = zip(gradients(state, moved(H), false).x, gradients(state, moved(-H), false).x, (a, b) => (a - b) / (2 * H));
  expect(found.shape).toEqual(expected.shape);
  checkSecondGradient('PreActResNet-18 eval, Hv', found, expected, 1e-4);
});
