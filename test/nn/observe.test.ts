/** Observed modules: what is seen, in which order, and that nothing stays behind. */
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential } from '../../src/nn/layers.ts';
import { layerMacs } from '../../src/nn/macs.ts';
import { createModel, type ModelOptions } from '../../src/nn/models/index.ts';
import { Module } from '../../src/nn/module.ts';
import { featureMaps, observe, replaceOutputs, sections } from '../../src/nn/observe.ts';
import { Random } from '../../src/tensor/philox.ts';
import { ones, scope, type Tensor } from '../../src/tensor/tensor.ts';
import { fromRef, random, testDevice, toRef } from '../engine.ts';

const device = await testDevice();
const make = () => ({ device, random: new Random(1) });
const network = () =>
  new Sequential(new Conv2d(make(), 2, 3, 3, { padding: 1 }), new ReLU(), new Flatten(), new Linear(make(), 48, 2));

describe('observe', () => {
  it('shows the tensors themselves, in the order in which they are made', async () => {
    const net = network();
    const x = ones(device, [1, 2, 4, 4]);
    const seen: [Module, Tensor][] = [];
    const y = observe(
      [...net.modules()].map(([, m]) => m),
      (m, t) => seen.push([m, t]),
      () => net.forward(x),
    );
    expect(seen.map(([m]) => m)).toEqual([net[0], net[1], net[2], net[3], net]);
    expect(seen.at(-1)![1]).toBe(y);
    // a gradient by what was seen in between: of the sum of logits by the flat features it is the sum of the weight's rows
    const [g] = F.grad(F.sum(y), [seen[2][1]]);
    const weight = await (net[3] as Linear).weight.floats();
    const expected = Array.from({ length: 48 }, (_, i) => weight[i] + weight[48 + i]);
    (await g.floats()).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 5);
    });
    net.dispose();
  });

  it('sees batch normalisation that is fused with ReLU, and looks only while the work runs, also where it throws', () => {
    const bn = new BatchNorm2d(make(), 2);
    const seen: Tensor[] = [];
    const x = ones(device, [1, 2, 2, 2]);
    const look = (work: () => Tensor) => observe([bn, bn], (_, t) => seen.push(t), work);
    expect(look(() => bn.relu(x))).toBe(seen[0]);
    expect(seen).toHaveLength(1);
    expect(() =>
      look(() => {
        throw new Error('broken');
      }),
    ).toThrow('broken');
    bn.relu(x);
    bn.forward(x);
    expect(seen).toHaveLength(1);
    expect(Object.keys(bn)).not.toContain('forward');
    expect(bn.forward).toBe(BatchNorm2d.prototype.forward);
    bn.dispose();
  });
});

describe('observe, of modules that are made otherwise', () => {
  it('gives a method that is a field back, and hands on every argument', async () => {
    class Scaled extends Module {
      forward = (x: Tensor, by = 1): Tensor => F.mul(x, by);
    }
    const net = new Scaled();
    const { forward } = net;
    const seen: Tensor[] = [];
    const x = ones(device, [1]);
    const y = observe(
      [net],
      (_, t) => seen.push(t),
      () => net.forward(x, 3),
    );
    expect(seen).toEqual([y]);
    expect(await y.item()).toBe(3);
    expect(net.forward).toBe(forward);
    expect(await net.forward(x, 2).item()).toBe(2);
  });

  it('one within another: both see, and the outer one sees on', () => {
    const net = new ReLU();
    const x = ones(device, [1]);
    const seen: string[] = [];
    const look = (who: string, work: () => Tensor) => observe([net], () => seen.push(who), work);
    look('outer', () => {
      look('inner', () => net.forward(x));
      return net.forward(x);
    });
    expect(seen).toEqual(['outer', 'inner', 'outer']);
    expect(Object.keys(net)).not.toContain('forward');
    net.forward(x);
    expect(seen).toHaveLength(3);
  });
});

describe('featureMaps', () => {
  const channels = { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], classes: 3 };
  const create = (arch: string, options: Partial<ModelOptions>) => createModel(arch, make(), { ...channels, ...options });

  it('names every module that puts out a map, in order, with its size, and computes nothing', () => {
    const model = create('resnet8', { width: 4 });
    const before = device.stats.dispatches;
    const maps = featureMaps(device, model, [3, 32, 32]);
    expect(device.stats.dispatches).toBe(before);
    expect([...maps]).toEqual([
      ['normalize', [3, 32, 32]],
      ['conv1', [4, 16, 16]],
      ...block('blocks.0', 4, 4, 16, 16),
      ...block('blocks.1', 4, 8, 16, 8, true),
      ...block('blocks.2', 8, 16, 8, 4, true),
      ['blocks', [16, 4, 4]],
      ['bn', [16, 4, 4]],
    ]);
    // counting multiply-adds records a pass in the same way: neither disturbs the other
    expect(layerMacs(device, model, [3, 32, 32]).size).toBeGreaterThan(5);
    scope(device, () => model.eval().forward(ones(device, [1, 3, 32, 32])));
    model.dispose();
  });

  /** The modules of a pre-activation block in the order in which they are done. */
  function block(name: string, inputs: number, width: number, from: number, to: number, shortcut = false) {
    const parts: [string, number[]][] = [['bn1', [inputs, from, from]]];
    if (shortcut) parts.push(['shortcut.0', [width, to, to]], ['shortcut', [width, to, to]]);
    parts.push(['conv1', [width, to, to]], ['bn2', [width, to, to]], ['conv2', [width, to, to]]);
    return [...parts.map(([part, size]) => [`${name}.${part}`, size]), [name, [width, to, to]]];
  }
});

describe('sections', () => {
  const options: ModelOptions = { width: 4, classes: 3, mean: [0, 0, 0], std: [1, 1, 1] };
  const endsOf = (model: Module, shape: readonly number[]) => {
    const names = new Map([...model.modules()].map(([name, module]) => [module, name]));
    return sections(device, model, shape).map(({ end }) => names.get(end)!);
  };

  it('of a chain are its layers', () => {
    const net = network();
    expect(endsOf(net, [2, 4, 4])).toEqual(['0', '1', '2', '3']);
    net.dispose();
  });

  it('of a residual network are its blocks; what a shortcut reads is passed by all too', () => {
    const net = createModel('resnet8', make(), options);
    const [first, second, third] = [0, 1, 2].map(i => `blocks.${i}`);
    const ends = ['normalize', 'conv1', first, `${second}.bn1`, second, `${third}.bn1`, third, 'bn', 'linear'];
    expect(endsOf(net, [3, 16, 16])).toEqual(ends);
    net.dispose();
  });

  it.each(['resnet18', 'resnet50', 'vgg11_bn', 'wideresnet'])(
    'of %s hold every layer, and where an end puts out 0 nothing of the images is left',
    async arch => {
      const net = createModel(arch, make(), { ...options, depthFactor: 10, widthFactor: 2 }).eval();
      const parts = sections(device, net, [3, 32, 32]);
      const held = new Set(parts.flatMap(({ modules }) => modules.flatMap(module => [...module.state().values()])));
      expect(held.size).toBe(net.state().size);
      const images = fromRef(device, random([2, 3, 32, 32], 1, 0, 1));
      for (const { end } of parts) {
        const nothing = (_: Module, output: Tensor) => F.mul(output, 0);
        const logits = await toRef(scope(device, () => replaceOutputs([end], nothing, () => net.forward(images))));
        expect(logits.data.slice(0, 3)).toEqual(logits.data.slice(3));
      }
      net.dispose();
    },
  );
});
