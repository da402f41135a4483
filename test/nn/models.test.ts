/** The registry of architectures, and counts of weights and multiply-adds. */
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { layerMacs } from '../../src/nn/macs.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { readState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { ones, scope } from '../../src/tensor/tensor.ts';
import { testDevice } from '../engine.ts';
import { sizeOf } from '../reference/array.ts';
import { preActResNet18Layers } from '../reference/sparse.ts';

const device = await testDevice();
const data = { classes: 10, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
const make = (arch: string, options = {}, seed = 1) =>
  createModel(arch, { device, random: new Random(seed, 0) }, { ...data, ...options });
const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

describe('PreActResNet-18 of width 64', () => {
  const model = make('resnet18');

  it("has PyTorch's number of parameters, and of weights that a mask covers", () => {
    const parameters = [...model.parameters().values()];
    expect(sum(parameters.map(p => p.size))).toBe(11_172_170);
    expect(sum(parameters.filter(p => p.rank === 4 || p.rank === 2).map(p => p.size))).toBe(11_164_352);
  });

  it('takes 555 422 720 multiply-adds for an image of 32 x 32, layer by layer those of the formula', () => {
    model.train();
    const before = device.stats;
    const macs = layerMacs(device, model, [3, 32, 32]);
    expect(sum(macs.values())).toBe(555_422_720);
    const expected = preActResNet18Layers(64, 10, 32).map(l => [`${l.name}.weight`, sizeOf(l.shape) * l.positions]);
    expect([...macs]).toEqual(expected);
    expect(model.training).toBe(true);
    expect(device.stats.live).toBe(before.live);
    expect(device.stats.dispatches).toBe(before.dispatches); // counted, not run
  });
});

describe('any width and size', () => {
  it('counts follow the formula', () => {
    const model = make('resnet18', { width: 8, classes: 7 });
    const expected = preActResNet18Layers(8, 7, 20).map(l => [`${l.name}.weight`, sizeOf(l.shape) * l.positions]);
    expect([...layerMacs(device, model, [3, 20, 20])]).toEqual(expected);
  });

  it('resnet8 maps images to logits, with its shapes by width', async () => {
    const model = make('resnet8', { width: 4, classes: 3 }).eval();
    expect(model.parameters().get('conv1.weight')!.shape).toEqual([4, 3, 3, 3]);
    expect(model.parameters().get('blocks.2.conv2.weight')!.shape).toEqual([16, 16, 3, 3]);
    const logits = scope(device, () => model.forward(ones(device, [2, 3, 16, 16])));
    expect(logits.shape).toEqual([2, 3]);
    const values = [...(await logits.data())];
    expect(values.every(Number.isFinite)).toBe(true);
    expect(values.slice(0, 3)).toEqual(values.slice(3)); // two equal images
  });
});

it('counting leaves each module in the mode that it was in', () => {
  const model = make('resnet8').train();
  const [, frozen] = [...model.modules()].find(([name]) => name === 'blocks.1.bn1')!;
  frozen.training = false;
  layerMacs(device, model, [3, 16, 16]);
  expect([...model.modules()].filter(([, m]) => !m.training).map(([name]) => name)).toEqual(['blocks.1.bn1']);
});

describe('a new model', () => {
  it('has the same bits for the same seed, and others for another', async () => {
    const [a, b, c] = [make('resnet8', {}, 5), make('resnet8', {}, 5), make('resnet8', {}, 6)];
    expect(await readState(a)).toEqual(await readState(b));
    const [weightA, weightC] = [a, c].map(m => m.parameters().get('conv1.weight')!);
    expect(await weightA.data()).not.toEqual(await weightC.data());
  });

  it.each(['resnet1', '', 'toString', '__proto__'])('of the unknown architecture %j is a usage error', arch => {
    expect(() => make(arch)).toThrow(UsageError);
    expect(() => make(arch)).toThrow(`unknown architecture '${arch}': use resnet18, `);
  });
});
