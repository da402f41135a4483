/** Modules: names, modes, memory; and states between device and host. */
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { SparrowError } from '../../src/errors.ts';
import { BatchNorm2d, ChannelNorm, Conv2d, Dropout, Linear, ReLU, Sequential } from '../../src/nn/layers.ts';
import { layerMacs } from '../../src/nn/macs.ts';
import { Module, Parameter, StateBuffer } from '../../src/nn/module.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { type HostTensor, readState, writeState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { ones, scope, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const maker = () => ({ device, random: new Random(1) });

class Net extends Module {
  readonly scale = new Parameter(zeros(device, [1]));
  readonly stem = new Sequential(new Conv2d(maker(), 3, 4, 3, { bias: false }), new BatchNorm2d(maker(), 4), new ReLU());
  readonly heads = [new Linear(maker(), 4, 2), new Linear(maker(), 4, 3, false)];
  readonly normalize = new ChannelNorm(maker(), [0.5], [0.5]);
  readonly note = 'not a tensor';

  forward(x: Tensor): Tensor {
    return this.stem.forward(x);
  }
}

describe('names', () => {
  const net = new Net();
  it('follow the fields, and positions in sequences and arrays', () => {
    expect([...net.state().keys()]).toEqual([
      'scale',
      'stem.0.weight',
      'stem.1.weight',
      'stem.1.bias',
      'stem.1.running_mean',
      'stem.1.running_var',
      'heads.0.weight',
      'heads.0.bias',
      'heads.1.weight',
    ]);
    expect([...net.parameters().keys()]).toEqual([...net.state().keys()].filter(name => !name.includes('running')));
    expect([...net.modules()].map(([name]) => name)).toEqual([
      '',
      'stem',
      'stem.0',
      'stem.1',
      'stem.2',
      'heads.0',
      'heads.1',
      'normalize',
    ]);
  });

  it('of more than ten in a sequence stay in their order', () => {
    const long = new Sequential(...Array.from({ length: 12 }, (_, i) => new Linear(maker(), 1, i + 1, false)));
    expect([...long.parameters()].map(([name, p]) => [name, p.shape[0]])).toEqual(
      Array.from({ length: 12 }, (_, i) => [`${i}.weight`, i + 1]),
    );
  });

  it('of parameters and buffers in arrays are their positions', () => {
    class Mixture extends Module {
      readonly scales = [new Parameter(zeros(device, [1])), new Parameter(zeros(device, [2]))];
      readonly counts = [new StateBuffer(zeros(device, [3]))];
      forward(x: Tensor): Tensor {
        return x;
      }
    }
    const mixture = new Mixture();
    expect([...mixture.parameters()].map(([name, p]) => [name, p.shape[0]])).toEqual([
      ['scales.0', 1],
      ['scales.1', 2],
    ]);
    expect([...mixture.state().keys()]).toEqual(['scales.0', 'scales.1', 'counts.0']);
  });

  describe('of what a network has twice', () => {
    /** A layer that is in a list too, and a weight that two layers share. */
    class Shared extends Module {
      readonly fc1 = new Linear(maker(), 2, 2, false);
      readonly fc2 = new Linear(maker(), 2, 2, false);
      readonly layers = [this.fc1, this.fc2];
      readonly tied = new Linear(maker(), 2, 2);
      constructor() {
        super();
        this.tied.weight.dispose();
        this.tied.weight = this.fc1.weight;
      }
      forward(x: Tensor): Tensor {
        return this.tied.forward(this.layers.reduce((h, layer) => layer.forward(h), x));
      }
    }

    it('parameters and modules have the first, a state has all', () => {
      const net = new Shared();
      expect([...net.parameters().keys()]).toEqual(['fc1.weight', 'fc2.weight', 'tied.bias']);
      expect([...net.modules()].map(([name]) => name)).toEqual(['', 'fc1', 'fc2', 'tied']);
      const both = ['fc1.weight', 'fc2.weight', 'layers.0.weight', 'layers.1.weight', 'tied.weight', 'tied.bias'];
      expect([...net.state().keys()]).toEqual(both);
      expect(layerMacs(device, net, [2])).toEqual(
        new Map([
          ['fc1.weight', 8],
          ['fc2.weight', 4],
        ]),
      );
    });

    it('a step moves each once, and all memory goes back', async () => {
      const before = device.stats.live;
      const net = new Shared();
      const w = net.fc1.weight;
      const was = await w.floats();
      const optimiser = new Sgd(net.parameters(), { lr: 1 });
      optimiser.step(new Map([...net.parameters().keys()].map(name => [name, ones(device, net.state().get(name)!.shape)])));
      expect(await w.floats()).toEqual(was.map(v => v - 1));
      optimiser.dispose();
      net.dispose();
      expect(device.stats.live - before).toBeLessThanOrEqual(3 * 256); // the three gradients
    });
  });

  it('parameters are tracked, buffers are not', () => {
    expect([...net.parameters().values()].every(F.isTracked)).toBe(true);
    expect(F.isTracked(net.state().get('stem.1.running_var')!)).toBe(false);
  });
});

it('train and eval reach every module below', () => {
  const net = new Net();
  const modes = () => [...net.modules()].map(([, m]) => m.training);
  expect(new Set(modes())).toEqual(new Set([true]));
  expect(net.eval()).toBe(net);
  expect(new Set(modes())).toEqual(new Set([false]));
  net.train();
  expect(new Set(modes())).toEqual(new Set([true]));
});

it('dispose gives back everything, what is no state included; a scope does not take parameters', () => {
  const before = device.stats.live;
  const net = scope(device, () => new Net());
  expect(device.stats.live).toBeGreaterThan(before);
  const own = device.stats.live;
  scope(device, () => net.state());
  expect(device.stats.live).toBe(own);
  net.dispose();
  expect(device.stats.live).toBe(before);
});

describe('sequences', () => {
  it('apply their modules in order', async () => {
    class Times extends Module {
      constructor(private readonly f: (x: Tensor) => Tensor) {
        super();
      }
      forward(x: Tensor): Tensor {
        return this.f(x);
      }
    }
    const net = new Sequential(new Times(x => F.add(x, 1)), new Times(x => F.mul(x, 3)), new ReLU(), new Dropout(maker()));
    expect([
      ...(await net
        .eval()
        .forward(zeros(device, [2]))
        .data()),
    ]).toEqual([3, 3]);
  });
});

describe('writing a state', () => {
  const net = new Net();
  const values = async () => readState(net);
  const given = async (): Promise<Map<string, HostTensor>> => {
    const state = await values();
    return new Map([...state].map(([name, t]) => [name, { shape: t.shape, data: t.data.map(v => v + 1) }]));
  };

  it('replaces every value; counters of batches may be there', async () => {
    const state = await given();
    writeState(net, new Map([...state, ['stem.1.num_batches_tracked', { shape: [], data: Float32Array.of(7) }]]));
    expect(await values()).toEqual(state);
  });

  it.each<[string, (state: Map<string, HostTensor>) => void, string]>([
    ['missing', s => void s.delete('heads.0.bias'), 'heads.0.bias is missing'],
    [
      'unexpected',
      s => void s.set('heads.7.bias', { shape: [2], data: new Float32Array(2) }),
      'heads.7.bias is not in the model',
    ],
    [
      'of another shape',
      s => void s.set('stem.0.weight', { shape: [3, 4, 3, 3], data: new Float32Array(108) }),
      'stem.0.weight is [3,4,3,3] instead of [4,3,3,3]',
    ],
    [
      'with too few values',
      s => void s.set('heads.1.weight', { shape: [3, 4], data: new Float32Array(11) }),
      'heads.1.weight has 11 values instead of 12',
    ],
  ])('refuses one that is %s, and changes nothing', async (_, spoil, message) => {
    const state = await given();
    spoil(state);
    const before = await values();
    const write = () => writeState(net, state, 'best.safetensors');
    expect(write).toThrow(SparrowError);
    expect(write).toThrow(`best.safetensors does not fit the model: ${message}`);
    expect(await values()).toEqual(before);
  });

  it('names three and counts the others', async () => {
    expect(() => writeState(net, new Map())).toThrow(
      'the given state does not fit the model: scale is missing, stem.0.weight is missing, stem.1.weight is missing, and 6 more',
    );
  });
});
