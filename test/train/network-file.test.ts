/** A network from a checkpoint alone, or from its state_dict: of every family, pruned, it computes what was saved. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { encodePth } from '../../src/data/pth-writer.ts';
import { encodeSafetensors, type StoredTensor } from '../../src/data/safetensors.ts';
import { groupWidth, keepChannels, widthsOf } from '../../src/nn/channels.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { readState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { encodeCheckpoint, type Identity } from '../../src/train/checkpoint.ts';
import { loadNetwork, readNetworkFile } from '../../src/train/network-file.ts';
import { random, run, testDevice } from '../engine.ts';

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
