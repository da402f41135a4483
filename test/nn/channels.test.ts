/** Removing channels: the same function as with their gammas and betas 0, in every architecture, and the shapes that are left. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { FileError } from '../../src/errors.ts';
import { groupWidth, keepChannels, type Network, setWidths, widthsIn, widthsOf } from '../../src/nn/channels.ts';
import { createModel, type ModelOptions } from '../../src/nn/models/index.ts';
import { architectures } from '../../src/nn/models/names.ts';
import { readState, writeState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { checkForward, random, run, testDevice } from '../engine.ts';

const device = await testDevice();

const thin: Partial<ModelOptions> = { width: 4, depthFactor: 16, widthFactor: 2, classes: 5 };
function create(arch: string): Network {
  return createModel(
    arch,
    { device, random: new Random(1) },
    { classes: 5, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], ...thin },
  );
}

/** Gives norms and biases the values of a trained network: gammas of both signs, betas and running statistics that are not trivial. */
function unsettle(network: Network, seed: number): void {
  for (const [i, [name, t]] of [...network.state()].entries()) {
    if (t.rank !== 1) continue;
    const [low, high] = name.endsWith('running_var') ? [0.5, 2] : [-1, 1];
    t.write(random(t.shape, seed + i, low, high).data);
  }
}

/** The gammas and betas of all channels but these become 0. */
async function silence(network: Network, kept: readonly (readonly number[])[]): Promise<void> {
  for (const [i, { norms }] of network.channelGroups().entries()) {
    for (const { weight, bias } of norms) {
      for (const t of [weight, bias]) t.write((await t.floats()).map((v, c) => (kept[i].includes(c) ? v : 0)));
    }
  }
}

/** At least one channel of each group. */
const choices = (network: Network) =>
  fc.tuple(
    ...network.channelGroups().map(group =>
      fc.subarray(
        Array.from({ length: groupWidth(group) }, (_, c) => c),
        { minLength: 1 },
      ),
    ),
  );

describe('a network without some of its channels', () => {
  it.each(['resnet8', 'resnet18', 'resnet50', 'vgg11_bn', 'wideresnet'])(
    '%s: computes the logits of the whole one with their gammas and betas 0, in eval and in train mode',
    async arch => {
      const images = random([3, 3, 32, 32], 5, 0, 1);
      const numRuns = arch === 'resnet8' ? 6 : 2;
      const probe = create(arch);
      await fc.assert(
        fc.asyncProperty(choices(probe), fc.nat(1000), async (kept, seed) => {
          const [whole, pruned] = [create(arch), create(arch)];
          unsettle(whole, seed);
          writeState(pruned, await readState(whole));
          keepChannels(pruned, kept);
          await silence(whole, kept);
          for (const train of [false, true]) {
            whole.train(train);
            pruned.train(train);
            const [a, b] = await run(device, [images], x => F.noGrad(() => [whole.forward(x), pruned.forward(x)]));
            checkForward(`channels of ${arch}`, b, a, 1e-4);
          }
          whole.dispose();
          pruned.dispose();
        }),
        { numRuns },
      );
      probe.dispose();
    },
    60_000,
  );

  it.each(architectures)('%s: every convolution and norm belongs to a group, and its widths are rebuilt', async arch => {
    const network = create(arch);
    const groups = network.channelGroups();
    const grouped = new Set(groups.flatMap(g => [...g.writers, ...g.norms, ...g.readers]));
    const layers = [...network.modules()].filter(([name]) => /(^|\.)(conv\w*|bn\w*|shortcut\.0|features\.\d+)$/.test(name));
    expect(layers.filter(([, m]) => !grouped.has(m as never))).toEqual([]);
    expect(new Set(groups.flatMap(g => [...g.norms])).size).toBe(groups.flatMap(g => [...g.norms]).length);
    keepChannels(
      network,
      groups.map((g, i) => Array.from({ length: Math.max(1, groupWidth(g) - 1 - (i % 3)) }, (_, c) => c)),
    );
    const again = create(arch);
    setWidths(again, widthsOf(network), 'x');
    const shapes = (m: Network) => [...m.state()].map(([name, t]) => `${name} ${t.shape}`);
    expect(shapes(again)).toEqual(shapes(network));
    network.dispose();
    again.dispose();
  });

  it('gives the memory of what was removed back', async () => {
    const before = device.stats.live;
    const network = create('resnet18');
    keepChannels(
      network,
      network.channelGroups().map(() => [1]),
    );
    network.dispose();
    expect(device.stats.live).toBe(before);
  });

  it('refuses widths that the network cannot have, naming the file and the layer', () => {
    const network = create('resnet8');
    const widths = widthsOf(network);
    const refuse = (wrong: Record<string, number>, message: string) => {
      expect(() => setWidths(network, wrong, 'a.safetensors')).toThrow(FileError);
      expect(() => setWidths(network, wrong, 'a.safetensors')).toThrow(message);
    };
    refuse({ ...widths, conv9: 1 }, "a.safetensors: its widths name 'conv9', which is no layer of this network");
    refuse({ ...widths, conv1: 5 }, 'a.safetensors: its widths give conv1 5 channels, where 1 to 4 are possible');
    refuse({ ...widths, conv1: Number.NaN }, 'conv1 NaN channels');
    const { conv1, ...rest } = widths;
    refuse(rest, 'conv1 undefined channels');
    network.dispose();
  });
});

describe('widths in the shapes of tensors', () => {
  const shapesOf = (network: Network) => new Map([...network.state()].map(([name, { shape }]) => [name, { shape }]));

  it.each(['resnet8', 'resnet18', 'resnet50', 'vgg11_bn', 'wideresnet'])('%s: are those that were kept', arch => {
    const whole = create(arch);
    expect(widthsIn(whole, shapesOf(whole), 'f')).toBeUndefined();
    fc.assert(
      fc.property(choices(whole), kept => {
        const pruned = create(arch);
        keepChannels(pruned, kept);
        const left = widthsOf(pruned);
        const all = kept.every((k, i) => k.length === groupWidth(whole.channelGroups()[i]));
        expect(widthsIn(whole, shapesOf(pruned), 'f')).toEqual(all ? undefined : left);
        pruned.dispose();
      }),
      { numRuns: 3 },
    );
    whole.dispose();
  });

  it('say which layers do not go together', () => {
    const [network, pruned] = [create('resnet8'), create('resnet8')];
    keepChannels(
      pruned,
      pruned.channelGroups().map(() => [0, 1, 2]),
    );
    const tensors = shapesOf(pruned).set('blocks.0.bn2.weight', { shape: [2] });
    expect(() => widthsIn(network, tensors, 'f.pth')).toThrow(
      new FileError(
        'f.pth: does not fit the model: its channels do not go together: blocks.0.conv1.weight has 3, blocks.0.bn2.weight has 2',
      ),
    );
    for (const n of [network, pruned]) n.dispose();
  });

  it('are nothing where the tensors are those of another network', () => {
    const [network, other] = [create('resnet18'), create('resnet8')];
    expect(widthsIn(network, shapesOf(other), 'f')).toBeUndefined();
    const wider = new Map([...shapesOf(network)].map(([name, { shape }]) => [name, { shape: shape.map(n => 2 * n) }]));
    expect(widthsIn(network, wider, 'f')).toBeUndefined();
    for (const one of [{ shape: [4] }, { shape: [3, 3, 3, 3] }])
      expect(widthsIn(network, shapesOf(network).set('layer1.0.conv2.weight', one), 'f')).toBeUndefined();
    for (const n of [network, other]) n.dispose();
  });
});
