/** The average of a sparse network: where it is asked for, it is the average, and its kernels know what its masks leave. */
import { expect, it } from 'vitest';
import { DeviceSplit } from '../../src/data/device-split.ts';
import { shapes } from '../../src/data/shapes.ts';
import { createModel } from '../../src/nn/models/index.ts';
import type { Module } from '../../src/nn/module.ts';
import { readState } from '../../src/nn/state.ts';
import { Masks } from '../../src/sparse/masks.ts';
import { Random } from '../../src/tensor/philox.ts';
import { Average } from '../../src/train/average.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { Learner } from '../../src/train/learner.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const make = () =>
  createModel('resnet8', { device, random: new Random(1) }, { width: 4, classes: 3, mean: [0, 0, 0], std: [1, 1, 1] });

const densities = (of: Module) => [...of.parameters()].map(([name, p]) => [name, p.density]);

it('has the densities of the network that is trained: from the start and after a mask update', async () => {
  const [model, averaged] = [make(), make()];
  const average = new Average(model, averaged, 0.9);
  expect(densities(averaged)).toEqual(densities(model));
  const masks = new Masks(model, 2);
  masks.initialise(0.3, 'igq');
  average.restart();
  expect(densities(averaged)).toEqual(densities(model));
  expect(averaged.parameters().get('linear.weight')!.density).toBeLessThan(1);

  const before = densities(model);
  await masks.update({ rate: 0.5, growth: 'random', decisions: { prune: true, grow: false }, pruneRatio: 0.4, growthRatio: 0 });
  expect(densities(model)).not.toEqual(before);
  average.apply(masks.masks);
  expect(densities(averaged)).toEqual(densities(model));
  for (const [name, { data }] of await readState(averaged)) {
    const mask = await masks.masks.get(name)?.floats();
    if (mask) expect(data.filter((v, i) => mask[i] === 0 && v !== 0)).toHaveLength(0);
  }
  masks.dispose();
  for (const network of [model, averaged]) network.dispose();
});

it('has them too when a run goes on from a checkpoint', async () => {
  const data = shapes({ seed: 3, train: 8, val: 4, test: 4 });
  const small = { dataset: 'shapes', arch: 'resnet8', width: 4, batchSize: 4, rigl: true, density: 0.3, ema: 0.5 } as const;
  const config = resolveConfig({ ...small, saveDir: 'unused' });
  const train = new DeviceSplit(device, data.train, data.shape, config.seed);
  const [first, second] = [1, 2].map(() => new Learner(device, data, config, train, undefined));
  await first.begin(undefined);
  const snapshot = await first.snapshot(false);
  second.restore({ ...snapshot, epoch: 0, iteration: 0, history: [], state: null }, 'checkpoint');
  expect(densities(second.model)).toEqual(densities(first.model));
  expect(densities(second.scored)).toEqual(densities(second.model));
  expect(await readState(second.scored)).toEqual(await readState(first.scored));
  for (const learner of [first, second]) learner.dispose();
});
