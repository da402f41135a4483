/** Captured training steps: what they compute does not depend on when they were captured. */
import { expect, it } from 'vitest';
import { DeviceSplit } from '../../src/data/device-split.ts';
import { shapes } from '../../src/data/shapes.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { readState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const { train, shape, mean, std } = shapes({ seed: 3, train: 24, val: 1, test: 1 });

/** The weights after four steps, on 16, 8, 16 and 8 augmented images; the steps that `anew` names begin with a new capture. */
async function weightsAfter(anew: readonly number[]) {
  const model = createModel('resnet8', { device, random: new Random(1) }, { width: 4, classes: 10, mean, std });
  const optimiser = new Sgd(model.parameters(), { lr: 0.05, momentum: 0.9 });
  const split = new DeviceSplit(device, train, shape, 1);
  const attack = { norm: 'linf', eps: 8 / 255, stepSize: 4 / 255, steps: 1, randomInit: true } as const;
  const augment = { crop: 4, flip: true, rotate: 15 };
  const make = () => new Trainer(device, model, optimiser, split, { mode: 'pgd', attack, augment, seed: 1, keepGradients: [] });
  let trainer = make();
  for (let i = 0; i < 4; i++) {
    if (anew.includes(i)) {
      trainer.dispose();
      trainer = make();
    }
    await (i % 2 ? trainer.step(16, 8, i) : trainer.step(0, 16, i));
  }
  const state = await readState(model);
  for (const t of [trainer, split, optimiser, model]) t.dispose();
  return state;
}

it.each([[[1]], [[1, 2, 3]]])('steps captured anew before %j give the same weights', async anew => {
  expect(await weightsAfter(anew)).toEqual(await weightsAfter([]));
});
