/** The settings of Robust Bird: what its flags make of the two stages. */
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { type RobustBirdSettings, resolveRobustBird, stageConfig } from '../../src/train/robust-bird/settings.ts';

const least: Partial<RobustBirdSettings> = {
  data: 'data/cifar10',
  arch: 'resnet18',
  stage1: 'sgd',
  stage2: 'pgd',
  epochs2: 200,
  pruning: 'unstructured',
  density: 0.2,
  saveDir: 'experiment/rb',
};
const resolve = (given: Partial<RobustBirdSettings> = {}) => resolveRobustBird({ ...least, ...given });

describe('the data set', () => {
  it.each([
    ['data/cifar10', 'cifar10'],
    ['/home/me/cifar10-and-more/cifar100', 'cifar100'],
    ['data/CIFAR100/', 'cifar100'],
    ['/data/tiny_imagenet', 'tinyimagenet'],
    ['./tiny-imagenet-200', 'tinyimagenet'],
    ['C:\\svhn\\files', 'svhn'],
  ])('of the path %s is %s', (data, dataset) => {
    expect(resolve({ data }).dataset).toBe(dataset);
  });

  it('that is named wins', () => {
    expect(resolve({ dataset: 'svhn' }).dataset).toBe('svhn');
  });
});

describe('a stage', () => {
  it('is a training run in a folder of its own, with the defaults of the reference implementation', () => {
    const [one, two] = [stageConfig(resolve(), 1), stageConfig(resolve(), 2)];
    expect(one).toMatchObject({ mode: 'sgd', epochs: 200, saveDir: 'experiment/rb_stage1', fix: false, printFreq: 100 });
    expect(two).toMatchObject({ mode: 'pgd', epochs: 200, saveDir: 'experiment/rb_stage2', fix: true, density: 0.2 });
    for (const { lr, decreasingLr, batchSize, momentum, weightDecay } of [one, two])
      expect([lr, decreasingLr, batchSize, momentum, weightDecay]).toEqual([0.1, [50, 150], 128, 0.9, 5e-4]);
  });

  it('has the learning rate of its mode, unless one is given', () => {
    const rates = (settings: RobustBirdSettings) =>
      ([1, 2] as const).map(stage => {
        const { lr, lrSchedule } = stageConfig(settings, stage);
        return [lr, lrSchedule];
      });
    expect(rates(resolve({ stage1: 'fast' }))).toEqual([
      [0.2, 'cyclic'],
      [0.1, 'multistep'],
    ]);
    expect(rates(resolve({ stage2: 'fast', lr: 0.3 }))).toEqual([
      [0.3, 'multistep'],
      [0.3, 'cyclic'],
    ]);
  });

  it('has the numbers of its mode, whichever it is', () => {
    const settings = resolve({ stage1: 'mart', stage2: 'trades' });
    expect([stageConfig(settings, 1).beta, stageConfig(settings, 2).beta]).toEqual([5, 6]);
    expect(stageConfig(resolve({ stage2: 'awp', awpGamma: 0.005 }), 2)).toMatchObject({
      mode: 'awp',
      awpGamma: 0.005,
      fix: true,
    });
    expect(stageConfig(resolve({ stage1: 'free', replays: 4 }), 1)).toMatchObject({ mode: 'free', replays: 4 });
    expect(() => resolve({ stage1: 'free', norm: 'l2' })).toThrow('--mode free works in linf only');
  });

  it('has the attack of its norm', () => {
    expect(stageConfig(resolve({ norm: 'l2' }), 2).trainEps).toBeCloseTo(128 / 255, 12);
    expect(stageConfig(resolve(), 2).trainEps).toBe(8);
  });

  it('starts from the weights of --init if it is the first', () => {
    const settings = resolve({ init: 'dense.pth' });
    expect(([1, 2] as const).map(stage => stageConfig(settings, stage).init)).toEqual(['dense.pth', undefined]);
  });

  it('of a pruned network has no mask', () => {
    expect(stageConfig(resolve({ pruning: 'channel' }), 2).fix).toBe(false);
  });
});

it.each<[Partial<RobustBirdSettings>, string]>([
  [{ stage1: undefined }, '--stage1 is required'],
  [{ stage2: undefined }, '--stage2 is required'],
  [{ epochs2: undefined }, '--epochs2 is required'],
  [{ pruning: undefined }, '--pruning is required'],
  [{ density: undefined }, '--density is required'],
  [{ arch: undefined }, '--arch is required'],
  [{ saveDir: undefined }, '--save-dir is required'],
  [{ data: undefined }, '--data is required'],
  [{ data: undefined, dataset: 'cifar10' }, '--data is required: the folder that holds cifar10'],
  [{ data: 'files' }, "--dataset is required: the path 'files' of --data names none of cifar10, cifar100"],
  [{ stage1Pretrained: 'a.safetensors' }, '--stage1 and --stage1-pretrained'],
  [
    { stage1: undefined, stage1Pretrained: 'a.safetensors', init: 'b.pth' },
    '--init and --stage1-pretrained: --init is what stage 1',
  ],
  [{ density: 0 }, '--density must be a number in (0, 1], got 0'],
  [{ trainEps: -1 }, '--train-eps must be a number >= 0'],
])('refuses %j', (given, message) => {
  expect(() => resolve(given)).toThrow(UsageError);
  expect(() => resolve(given)).toThrow(message);
});
