/** Thin networks of each family and of every depth against PyTorch's values, and every architecture's size at full width against PyTorch's counts. */
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { UsageError } from '../../src/errors.ts';
import { layerMacs } from '../../src/nn/macs.ts';
import { createModel, type ModelOptions } from '../../src/nn/models/index.ts';
import { architectures } from '../../src/nn/models/names.ts';
import { writeState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { checkForward, checkGradient, run, testDevice } from '../engine.ts';
import { type Ref, ref } from '../reference/array.ts';
import { hashedImages, hashedState, readFixture, sample } from '../reference/fixture.ts';

const device = await testDevice();
const channels = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const create = (arch: string, options: Partial<ModelOptions> = {}) =>
  createModel(arch, { device, random: new Random(1) }, { classes: 10, ...channels, ...options });
const joined = (parts: readonly ArrayLike<number>[]): Ref => {
  const values = parts.flatMap(part => Array.from(part));
  return ref([values.length], values);
};
const thinned = ({ data }: { data: Float64Array }) => sample(data, 64);
const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

describe.each<[title: string, file: string, arch: string, options: Partial<ModelOptions>]>([
  ['PreActResNet-50 of width 2 on 16x16 images', 'resnet50-width2', 'resnet50', { width: 2 }],
  ['VGG-11 of width 2 on 64x64 images', 'vgg11-width2', 'vgg11_bn', { width: 2 }],
  [
    'WRN-16-2 of an eighth of the width on 64x64 images',
    'wideresnet-16-2-width8',
    'wideresnet',
    { width: 8, depthFactor: 16, widthFactor: 2 },
  ],
])('%s', (title, file, arch, options) => {
  const fixture = readFixture(file);
  const initial = new Map(
    Object.entries(fixture.group('state.')).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]),
  );
  const { shape, data } = fixture.get('x');
  const x = ref(
    shape,
    data.map(byte => byte / 255),
  );
  const labels = () => tensor(device, fixture.get('y').data, [shape[0]], 'i32');
  const model = create(arch, { ...options, classes: 5 });

  it('has the state_dict of PyTorch, in its order', () => {
    expect([...model.state()].map(([name, t]) => `${name} ${t.shape}`)).toEqual(
      [...initial].map(([name, { shape }]) => `${name} ${shape}`),
    );
  });

  it('eval mode: logits, loss, gradient by the pixels', async () => {
    writeState(model, initial);
    model.eval();
    const [logits, loss, gx] = await run(device, [x], input => {
      const z = model.forward(F.track(input));
      const value = F.crossEntropy(z, labels());
      return [z, value, ...F.grad(value, [input])];
    });
    checkForward(title, logits, fixture.get('eval.logits'), 2e-5);
    checkForward(title, loss, fixture.get('eval.loss'));
    checkGradient(title, joined([thinned(gx)]), fixture.get('eval.grad.x'), 1e-4);
  });

  it('train mode: logits, loss, gradients by every parameter', async () => {
    writeState(model, initial);
    model.train();
    const parameters = model.parameters();
    const [logits, loss, ...gradients] = await run(device, [x], input => {
      const z = model.forward(input);
      const value = F.crossEntropy(z, labels());
      return [z, value, ...F.grad(value, [...parameters.values()])];
    });
    checkForward(title, logits, fixture.get('train.logits'), 1e-4); // batch statistics of few values amplify rounding
    checkForward(title, loss, fixture.get('train.loss'), 1e-4);
    const names = [...parameters.keys()];
    expect(gradients.map(g => g.shape)).toEqual(names.map(name => parameters.get(name)!.shape));
    const expected = names.map(name => fixture.get(`train.grad.${name}`).data);
    checkGradient(title, joined(gradients.map(thinned)), joined(expected), 1e-4);
    // a gradient can be nearly 0 (biases before a batch norm are): single ones are measured loosely
    for (const [i] of names.entries()) checkGradient(title, joined([thinned(gradients[i])]), joined([expected[i]]), 2e-3);
  });
});

describe('further depths, states and images by hashes', () => {
  const fixture = readFixture('depths');
  it.each<[arch: string, options: Partial<ModelOptions>, bound: number]>([
    ['resnet34', { width: 2 }, 2e-4],
    ['resnet101', { width: 1 }, 0.05], // in float64 too gradients move by 1 % where weights move by 2e-6: ReLUs switch
    ['resnet152', { width: 1 }, 0.1], // by 3 %
    ['vgg13_bn', { width: 2 }, 2e-4],
    ['vgg16_bn', { width: 2 }, 2e-4],
    ['vgg19_bn', { width: 2 }, 2e-4],
    ['wideresnet', { width: 8, depthFactor: 28, widthFactor: 2 }, 2e-4],
  ])('%s %j: logits, loss, gradients by pixels and by every parameter, in both modes', async (arch, options, bound) => {
    const seed = fixture.meta<Record<string, number>>('seeds')[arch];
    const model = create(arch, { ...options, classes: 5 });
    const start = hashedState(model.state(), seed);
    const x = hashedImages(4, 32, seed);
    for (const mode of ['eval', 'train'] as const) {
      writeState(model, start);
      model.train(mode === 'train');
      const parameters = [...model.parameters().values()];
      const [logits, loss, gx, ...gradients] = await run(device, [x], input => {
        const z = model.forward(F.track(input));
        const value = F.crossEntropy(z, tensor(device, [0, 1, 2, 3], [4], 'i32'));
        return [z, value, ...F.grad(value, [input, ...parameters])];
      });
      const expected = (what: string) => fixture.get(`${arch}.${mode}.${what}`);
      const by = gradients.map(({ data }) => sample(data, 4));
      checkForward(arch, logits, expected('logits'), 1e-4); // a hundred layers and more, batch statistics of few values
      checkForward(arch, loss, expected('loss'), 1e-4);
      checkGradient(arch, joined([sample(gx.data, 32)]), expected('grad.x'), bound);
      checkGradient(arch, joined(by), expected('grad'), bound);
    }
    model.dispose();
  });
});

describe('at full width, with ten classes', () => {
  const sizes =
    readFixture('architectures').meta<Record<string, Record<'parameters' | 'masked' | 'macs32' | 'macs64', number>>>('sizes');

  it('every architecture is counted, but the small network of the demo', () => {
    expect(Object.keys(sizes)).toEqual(architectures.filter(name => name !== 'resnet8'));
  });

  it.each(Object.entries(sizes))("%s has PyTorch's parameters, masked weights and multiply-adds", (arch, size) => {
    const model = create(arch);
    const parameters = [...model.parameters().values()];
    expect({
      parameters: sum(parameters.map(p => p.size)),
      masked: sum(parameters.filter(p => p.rank === 4 || p.rank === 2).map(p => p.size)),
      macs32: sum(layerMacs(device, model, [3, 32, 32]).values()),
      macs64: sum(layerMacs(device, model, [3, 64, 64]).values()),
    }).toEqual(size);
    model.dispose();
  });
});

describe('wideresnet', () => {
  it('begins with the weights of He et al.: normal of deviation √(2/fan_out), and a bias of 0', async () => {
    const model = create('wideresnet', { depthFactor: 10, widthFactor: 4 });
    const weight = await model.parameters().get('block3.layer.0.conv2.weight')!.floats();
    const deviation = Math.sqrt(sum(weight.map(w => w * w)) / weight.length);
    expect(deviation / Math.sqrt(2 / (256 * 9))).toBeCloseTo(1, 2);
    expect(sum(weight) / weight.length / deviation).toBeCloseTo(0, 2);
    expect(sum(weight.map(w => (Math.abs(w) < deviation ? 1 : 0))) / weight.length).toBeCloseTo(0.6827, 2);
    expect(sum(await model.parameters().get('fc.bias')!.floats())).toBe(0);
    model.dispose();
  });

  it.each([
    [{ depthFactor: 18 }, '--depth-factor 18: a wideresnet has 6n + 4 layers, such as 10, 16, 28, 34'],
    [{ depthFactor: 4 }, '--depth-factor 4: '],
    [{ width: 6 }, '--width 6: that of a wideresnet is a multiple of 4'],
  ])('of %j is a usage error', (options, message) => {
    expect(() => create('wideresnet', options)).toThrow(UsageError);
    expect(() => create('wideresnet', options)).toThrow(message);
  });
});
