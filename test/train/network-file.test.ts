/** A network from a checkpoint alone, or from its state_dict: of every family, pruned, it computes what was saved. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { encodePth } from '../../src/data/pth-writer.ts';
import { encodeSafetensors, type StoredTensor } from '../../src/data/safetensors.ts';
import { groupWidth, keepChannels, widthsOf } from '../../src/nn/channels.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { planModel } from '../../src/nn/plan.ts';
import { readState } from '../../src/nn/state.ts';
import { Masks } from '../../src/sparse/masks.ts';
import { Random } from '../../src/tensor/philox.ts';
import {
  type Checkpoint,
  encodeCheckpoint,
  type Identity,
  type Normalisation,
  type Weights,
} from '../../src/train/checkpoint.ts';
import { loadNetwork, readNetworkFile } from '../../src/train/network-file.ts';
import { checkForward, random, run, testDevice } from '../engine.ts';

const device = await testDevice();
const folder = mkdtempSync(join(tmpdir(), 'sparrow-network-'));
afterAll(() => rmSync(folder, { recursive: true }));

const [classes, shape] = [['a', 'b', 'c'], [3, 32, 32] as const];
const [mean, std] = [
  [0.5, 0.4, 0.3],
  [0.2, 0.2, 0.2],
];

it.each<[string, Partial<Identity>]>([
  ['resnet8', {}],
  ['vgg11_bn', {}],
  ['wideresnet', { depthFactor: 10, widthFactor: 2 }],
])('%s', async (arch, factors) => {
  const network = createModel(arch, { device, random: new Random(4) }, { width: 4, ...factors, classes: 3, mean, std });
  keepChannels(
    network,
    network.channelGroups().map(group => Array.from({ length: Math.ceil(groupWidth(group) / 2) }, (_, c) => c)),
  );
  const none = new Map();
  const checkpoint = encodeCheckpoint({
    ...{ arch, dataset: 'shapes', classes: 3, width: 4, ...factors, widths: widthsOf(network), shape },
    ...{ model: await readState(network), masks: none, momentum: none, fired: none, denseMomentum: none },
    ...{ epoch: 0, iteration: 0, history: [], random: null, state: null },
  });
  const path = join(folder, `${arch}.safetensors`);
  writeFileSync(path, checkpoint);
  const loaded = loadNetwork(device, readNetworkFile(path), { name: 'shapes', classes, shape, mean, std }, {});
  network.eval();
  const state = new Map<string, StoredTensor>([...(await readState(network))].map(([name, t]) => [name, { dtype: 'F32', ...t }]));
  const plain = ['safetensors', 'pth'].map(kind => {
    const file = join(folder, `${arch}-state.${kind}`);
    writeFileSync(file, kind === 'pth' ? encodePth(state) : encodeSafetensors(state));
    return loadNetwork(
      device,
      readNetworkFile(file),
      { name: 'shapes', classes, shape, mean, std },
      { arch, width: 4, ...factors },
    );
  });
  const images = random([2, ...shape], 9, 0, 1);
  const [before, ...after] = await run(device, [images], x => [network, loaded, ...plain].map(n => n.forward(x)));
  for (const logits of after) expect(logits).toEqual(before);
  for (const n of [network, loaded, ...plain]) n.dispose();
});

it('tells the kernels of a sparse network how much of each layer is left, that of an average and of a state_dict too', async () => {
  const options = { width: 8, classes: 3, mean, std };
  const network = createModel('resnet8', { device, random: new Random(4) }, options);
  const masks = new Masks(network, 5);
  masks.initialise(0.1, 'igq');
  const model = await readState(network);
  const none = new Map();
  const read: Pick<Weights, 'model' | 'masks'> = { model, masks: new Map() };
  for (const [name, t] of masks.masks) read.masks.set(name, { shape: t.shape, data: await t.floats() });
  const about = { arch: 'resnet8', dataset: 'shapes', classes: 3, width: 8, shape };
  const rest = {
    momentum: none,
    fired: none,
    denseMomentum: none,
    epoch: 0,
    iteration: 0,
    history: [],
    random: null,
    state: null,
  };
  const write = (name: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const paths = [
    write('sparse.safetensors', encodeCheckpoint({ ...about, ...read, ...rest })),
    write('average.safetensors', encodeCheckpoint({ ...about, ...read, ...rest, ema: model })),
    write('state.safetensors', encodeSafetensors(new Map([...model].map(([name, t]) => [name, { dtype: 'F32', ...t }])))),
  ];
  network.eval();
  const images = random([2, ...shape], 9, 0, 1);
  for (const path of paths) {
    const asked = { arch: 'resnet8', width: 8 };
    const loaded = loadNetwork(device, readNetworkFile(path), { name: 'shapes', classes, shape, mean, std }, asked);
    const densities = [...loaded.parameters()].map(([name, p]) => [name, p.density]);
    expect(densities).toEqual([...network.parameters()].map(([name, p]) => [name, p.density]));
    expect(loaded.parameters().get('blocks.2.conv2.weight')!.density).toBeLessThan(0.1);
    const planned = planModel(device, loaded, [2, ...shape]);
    expect(planned).toEqual(planModel(device, network, [2, ...shape]));
    const [sparse] = await run(device, [images], x => loaded.forward(x));
    for (const p of loaded.parameters().values()) p.density = 1;
    expect(planned).not.toEqual(planModel(device, loaded, [2, ...shape]));
    const [dense] = await run(device, [images], x => loaded.forward(x));
    checkForward('sparse logits', sparse, dense);
    loaded.dispose();
  }
  masks.dispose();
  network.dispose();
});

describe('on images of another data set', () => {
  const none = new Map();
  const trained = { mean: [0.25, 0.5, 0.125], std: [0.5, 0.25, 0.75] };
  const cifar10 = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
  const given = { name: 'svhn', classes, shape, mean, std };
  const images = random([2, ...shape], 11, 0, 1);

  /** A checkpoint of resnet8 that states what is asked for, and the logits of its weights with a normalisation. */
  async function saved(about: Partial<Identity> & Pick<Checkpoint, 'normalisation'>) {
    const make = () => ({ device, random: new Random(6) });
    const options = { width: 2, classes: 3 };
    const network = createModel('resnet8', make(), { ...options, mean, std });
    const path = join(folder, 'foreign.safetensors');
    const bytes = encodeCheckpoint({
      ...{ arch: 'resnet8', dataset: 'cifar10', classes: 3, width: 2, shape, ...about },
      ...{ model: await readState(network), masks: none, momentum: none, fired: none, denseMomentum: none },
      ...{ epoch: 0, iteration: 0, history: [], random: null, state: null },
    });
    writeFileSync(path, bytes);
    network.dispose();
    const logits = async (normalisation: Normalisation) => {
      const other = createModel('resnet8', make(), { ...options, ...normalisation }).eval();
      const [out] = await run(device, [images], x => other.forward(x));
      other.dispose();
      return out;
    };
    return { path, logits };
  }

  /** The logits of a loaded file, and what was said as it was loaded. */
  async function loaded(path: string, data: typeof given) {
    const notices: string[] = [];
    const network = loadNetwork(device, readNetworkFile(path), data, {}, { onNotice: line => void notices.push(line) });
    const [out] = await run(device, [images], x => network.forward(x));
    network.dispose();
    return { out, notices };
  }

  it('a network normalises as its file states, and says so', async () => {
    const { path, logits } = await saved({ normalisation: trained });
    const { out, notices } = await loaded(path, given);
    expect(out).toEqual(await logits(trained));
    expect(notices).toEqual([
      `${path}: was trained on cifar10, not on svhn; the normalisation is that of its training, mean 0.25 0.5 0.125, std 0.5 0.25 0.75`,
    ]);
  });

  it('of an older file, as the data set that it names is known to', async () => {
    const { path, logits } = await saved({});
    const { out, notices } = await loaded(path, given);
    expect(out).toEqual(await logits(cifar10));
    expect(notices).toEqual([expect.stringContaining('the normalisation is that of its training, mean 0.4914 0.4822 0.4465')]);
  });

  it('of an older file whose data set is any folder, as the data, and says so', async () => {
    const { path, logits } = await saved({ dataset: 'folder' });
    const { out, notices } = await loaded(path, given);
    expect(out).toEqual(await logits({ mean, std }));
    expect(notices).toEqual([
      `${path}: was trained on folder, not on svhn; the normalisation is that of svhn, as it does not state its own, mean 0.5 0.4 0.3, std 0.2 0.2 0.2`,
    ]);
  });

  it('of a folder with other images', async () => {
    const { path, logits } = await saved({ dataset: 'folder', normalisation: trained });
    const { out, notices } = await loaded(path, { ...given, name: 'folder' });
    expect(out).toEqual(await logits(trained));
    expect(notices).toEqual([
      expect.stringContaining(': was trained on other images of folder; the normalisation is that of its'),
    ]);
  });

  it('nothing is said where the data are those of its training', async () => {
    const { path, logits } = await saved({ dataset: 'svhn', normalisation: { mean, std } });
    const { out, notices } = await loaded(path, given);
    expect([out, notices]).toEqual([await logits({ mean, std }), []]);
  });

  it('of another size is refused', async () => {
    const { path } = await saved({ shape: [3, 16, 16] });
    expect(() => loadNetwork(device, readNetworkFile(path), given, {})).toThrow(
      `${path}: was trained on images of [3, 16, 16], those of svhn are [3, 32, 32]`,
    );
  });
});
