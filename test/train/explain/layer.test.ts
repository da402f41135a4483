/** The module that Grad-CAM looks at, of every family of architectures. */
import { expect, it } from 'vitest';
import { UsageError } from '../../../src/errors.ts';
import { createModel, type ModelOptions } from '../../../src/nn/models/index.ts';
import { Random } from '../../../src/tensor/philox.ts';
import { explainedLayer } from '../../../src/train/explain/layer.ts';
import { testDevice } from '../../engine.ts';
import { Tiny } from './tiny.ts';

const device = await testDevice();
const create = (arch: string, options: Partial<ModelOptions> = {}) =>
  createModel(
    arch,
    { device, random: new Random(1) },
    { width: 4, classes: 3, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], ...options },
  );

it.each<[string, number, string, number[], Partial<ModelOptions>?]>([
  ['resnet18', 32, 'layer4.1', [32, 4, 4]],
  ['resnet18', 64, 'layer4.1', [32, 8, 8]],
  ['resnet18', 16, 'layer3.1', [16, 4, 4]],
  ['resnet50', 32, 'layer4.2', [128, 4, 4]],
  ['vgg11_bn', 32, 'features.19', [32, 4, 4]],
  ['vgg16_bn', 64, 'features.41', [32, 4, 4]],
  ['wideresnet', 32, 'block3.layer.1', [8, 8, 8], { depthFactor: 16, widthFactor: 2 }],
  ['resnet8', 32, 'blocks.2', [16, 4, 4]],
  ['resnet8', 6, 'blocks.2', [16, 1, 1]],
])('%s on %i pixels: %s', (arch, size, name, map, options) => {
  const model = create(arch, options);
  expect(explainedLayer(device, model, [3, size, size])).toMatchObject({ name, map, module: expect.anything() });
  model.dispose();
});

it('the last one of a network whose blocks have names of their own', () => {
  const model = new Tiny(device);
  expect(explainedLayer(device, model, [3, 32, 32])).toMatchObject({ name: 'bn2', module: model.bn2, map: [6, 16, 16] });
  model.dispose();
});

it('one that is asked for by its name, or an error that lists the names', () => {
  const model = create('resnet8');
  const { name, module, map } = explainedLayer(device, model, [3, 32, 32], 'blocks.0.bn2');
  expect([name, module === new Map(model.modules()).get('blocks.0.bn2'), map]).toEqual(['blocks.0.bn2', true, [4, 16, 16]]);
  for (const wrong of ['layer4', 'linear', '']) {
    const ask = () => explainedLayer(device, model, [3, 32, 32], wrong);
    expect(ask).toThrow(UsageError);
    expect(ask).toThrow(/^--layer: no module '.*' of the network puts out .*: normalize, conv1, .*, blocks\.2, blocks, bn$/);
  }
  model.dispose();
});
