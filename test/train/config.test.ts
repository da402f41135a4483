/** The settings of training: defaults, ranges, units, config.json and what a resumed run may change. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileError, UsageError } from '../../src/errors.ts';
import {
  assertSameRun,
  attackSettings,
  decodeConfig,
  encodeConfig,
  maskRule,
  resolveConfig,
  type TrainConfig,
  trainFlags,
} from '../../src/train/config.ts';
import { configNotices, stageNotices } from '../../src/train/config-notices.ts';
import { flagName } from '../../src/train/flags.ts';

const least = { dataset: 'shapes', arch: 'resnet18' } as const;
const resolve = (given: Partial<TrainConfig> = {}) => resolveConfig({ ...least, ...given });

describe('defaults', () => {
  it('are those of main_adv.py', () => {
    expect(resolve()).toMatchObject({
      seed: 1,
      batchSize: 128,
      lr: 0.1,
      decreasingLr: [100, 150],
      momentum: 0.9,
      nesterov: false,
      weightDecay: 5e-4,
      epochs: 200,
      norm: 'linf',
      trainEps: 8,
      trainStep: 10,
      trainGamma: 2,
      testEps: 8,
      testStep: 20,
      testGamma: 2,
      trainRandinit: true,
      testRandinit: true,
      fb: false,
      fbp: false,
      fix: false,
      sparseInit: 'igq',
      growth: 'random',
      death: 'magnitude',
      redistribution: 'none',
      deathRate: 0.5,
      density: 0.2,
      dynamicEpoch: 100,
      decaySchedule: 'cosine',
      updateFrequency: 900,
      epochRange: 4,
      pruneRatio: 0.4,
      growthRatio: 0.05,
      updateThreshold: 0.5,
      dynamicFre: false,
      secondFrequency: 1200,
      depthFactor: 34,
      widthFactor: 10,
      printFreq: 50,
      resume: false,
      eval: false,
    });
  });

  it('satisfy their own rows', () => {
    for (const [key, flag] of Object.entries(trainFlags)) {
      if (flag.default !== undefined) expect(flag.problem(flag.default), key).toBeNull();
      else expect(flag.placeholder, key).toBeDefined();
    }
  });
});

describe('validation', () => {
  it.each<[Partial<TrainConfig>, string]>([
    [{ density: 0 }, '--density must be a number in (0, 1], got 0'],
    [{ density: 1.2 }, '--density must be a number in (0, 1], got 1.2'],
    [{ trainEps: -1 }, '--train-eps must be a number >= 0, got -1'],
    [{ testEps: Number.NaN }, '--test-eps must be a number >= 0, got NaN'],
    [{ lr: Number.POSITIVE_INFINITY }, '--lr must be a number >= 0, got Infinity'],
    [{ batchSize: 0 }, '--batch-size must be a whole number >= 1, got 0'],
    [{ batchSize: 1.5 }, '--batch-size must be a whole number >= 1, got 1.5'],
    [{ updateFrequency: 0 }, '--update-frequency must be a whole number >= 1, or epoch, got 0'],
    [{ updateFrequency: 'day' as never }, "--update-frequency must be a whole number >= 1, or epoch, got 'day'"],
    [{ epochs: 0 }, '--epochs must be a whole number >= 1, got 0'],
    [{ momentum: 1 }, '--momentum must be a number in [0, 1), got 1'],
    [{ seed: -1 }, '--seed must be a whole number >= 0, got -1'],
    [{ decreasingLr: [5, 5] }, '--decreasing-lr must be whole numbers >= 1 in rising order, separated by commas, got 5,5'],
    [{ dataset: undefined }, '--dataset is required: data set: cifar10, cifar100, svhn, tinyimagenet, folder, shapes'],
    [{ dataset: 'cifar10' }, '--data is required: the folder that holds cifar10'],
    [{ saveDir: '' }, "--save-dir must not be empty, got ''"],
    [{ eval: true }, '--eval needs --pretrained: the checkpoint to score'],
    [{ rigl: true, fb: true }, '--rigl and --fb: one method at a time'],
    [{ set: true, itop: true }, '--set and --itop: one method at a time'],
    [{ imp: true, fix: true }, '--imp and --fix: --imp makes its own mask; give one of them'],
    [{ imp: true, epochs: 3, rewindEpoch: 3 }, '--rewind-epoch 3: a round of --imp has epochs 0 to 2'],
    [{ scale: 0.2, fb: true }, '--scale makes a thin dense network: leave out the mask, or give --width instead'],
    [{ fix: true, sparseInit: 'omp' }, '--sparse-init omp needs --init: the dense checkpoint to prune'],
    [{ mode: 'free', norm: 'l2' }, '--mode free works in linf only: leave out --norm l2'],
    [{ ema: 1 }, '--ema must be a number in [0, 1), got 1'],
    [{ nesterov: true, momentum: 0 }, '--nesterov needs a --momentum above 0'],
    [{ pretrained: 'f' }, '--pretrained goes with --eval; to start training from weights, give them with --init'],
    [{ fb: 'yes' as never }, "--fb must be true or false, got 'yes'"],
    [{ arch: 'resnet' as never }, '--arch must be one of resnet18, resnet34, '],
  ])('refuses %j', (given, message) => {
    expect(() => resolve(given)).toThrow(UsageError);
    expect(() => resolve(given)).toThrow(message);
  });

  it('takes the seed 0', () => {
    expect(resolve({ seed: 0 }).seed).toBe(0);
  });
});

describe('attacks', () => {
  it('take Linf values in 1/255', () => {
    expect(attackSettings(resolve(), 'train')).toEqual({
      norm: 'linf',
      eps: 8 / 255,
      stepSize: 2 / 255,
      steps: 10,
      randomInit: true,
    });
    expect(attackSettings(resolve({ testEps: 4 }), 'test')).toMatchObject({ eps: 4 / 255, steps: 20 });
  });

  it('take L2 values directly, with defaults of their own', () => {
    expect(attackSettings(resolve({ norm: 'l2', trainEps: 0.5 }), 'train')).toMatchObject({ eps: 0.5, stepSize: 15 / 255 });
    expect(attackSettings(resolve({ norm: 'l2' }), 'test')).toMatchObject({ eps: 128 / 255 });
  });

  it('start at zero where randinit turns the random start off', () => {
    const { trainRandinit, testRandinit } = resolve({ randinit: false });
    expect([trainRandinit, testRandinit]).toEqual([false, false]);
    expect(attackSettings(resolve({ trainRandinit: false }), 'train').randomInit).toBe(false);
    expect(attackSettings(resolve({ trainRandinit: false }), 'test').randomInit).toBe(true);
  });
});

it('takes the defaults of a method and of a mode, where nothing else is said', () => {
  const rigl = { sparseInit: 'erk', growth: 'gradient', deathRate: 0.3, updateFrequency: 100, updateEnd: 0.75 };
  expect(resolve({ rigl: true })).toMatchObject(rigl);
  expect(resolve({ rigl: true, sparseInit: 'igq', deathRate: 0.1 })).toMatchObject({
    ...rigl,
    sparseInit: 'igq',
    deathRate: 0.1,
  });
  expect(resolve({ set: true })).toMatchObject({
    death: 'SET',
    growth: 'random',
    decaySchedule: 'constant',
    sparseInit: 'er',
    updateFrequency: 'epoch',
  });
  expect(resolve({ mode: 'fast' })).toMatchObject({ lr: 0.2, lrSchedule: 'cyclic' });
  expect(resolve({ mode: 'mart' }).beta).toBe(5);
});

it('tells which mask a run has', () => {
  const rules = [{}, { fb: true }, { fbp: true }, { fb: true, fbp: true }, { fb: true, fix: true }].map(g =>
    maskRule(resolve(g)),
  );
  expect(rules).toEqual(['dense', 'fb', 'fbp', 'fbp', 'fixed']);
});

it('notices what has no effect', () => {
  const notices = (given: Partial<TrainConfig>) => configNotices(given, resolve(given));
  expect(notices({ density: 0.1, growth: 'gradient' })).toEqual([
    '--density, --growth: no effect without --fb, --fbp, --set, --rigl, --itop, --imp or --fix',
  ]);
  expect(notices({ density: 0.1, fb: true })).toEqual([]);
  expect(notices({ reset: true })).toEqual(['--reset has no effect']);
  expect(notices({ beta: 3 })).toEqual(['--beta: no effect without --mode trades or mart']);
  expect(notices({ replays: 3, mode: 'awp' })).toEqual(['--replays: no effect without --mode free']);
  expect(notices({ decreasingLr: [1], mode: 'fast' })).toEqual(['--decreasing-lr: no effect with a cyclic learning rate']);
  expect(notices({ decreasingLr: [1], mode: 'fast', lrSchedule: 'multistep' })).toEqual([]);
});

it('notices what of the masks a method does not look at', () => {
  const notices = (given: Partial<TrainConfig>) => configNotices(given, resolve(given));
  const rules = { growth: 'gradient', death: 'SET' } as const;
  expect(notices({ imp: true, sparseInit: 'snip', ...rules })).toEqual([
    '--sparse-init, --growth, --death: no effect with --imp',
  ]);
  expect(notices({ fix: true, sparseInit: 'snip', ...rules, dynamicFre: true, rewindEpoch: 1 })).toEqual([
    '--growth, --death, --dynamic-fre: no effect with --fix',
    '--rewind-epoch: no effect without --imp',
  ]);
  const own = { ...rules, dynamicEpoch: 3, deathRate: 0.4 };
  expect(notices({ fbp: true, ...own })).toEqual([]);
  expect(notices({ fb: true, ...own, secondFrequency: 9, deathThreshold: 0.1 })).toEqual([
    '--second-frequency: no effect without --dynamic-fre',
    '--dynamic-epoch: no effect without --fbp',
    '--death-threshold: no effect without --death threshold',
  ]);
  expect(notices({ fb: true, death: 'threshold', deathRate: 0.4, deathThreshold: 0.1 })).toEqual([
    '--death-rate: no effect with --death threshold',
  ]);
});

it('notices what none of the stages of Robust Bird looks at', () => {
  const given = { trainStep: 3, beta: 2, replays: 4, testEps: 0.03 };
  const notices = (...modes: TrainConfig['mode'][]) =>
    stageNotices(
      given,
      modes.map(mode => resolve({ mode })),
    );
  const radius = '--test-eps 0.03 is 0.03/255; 8/255 is --test-eps 8';
  expect(notices('sgd', 'mart')).toEqual(['--replays: no effect on training by sgd and mart', radius]);
  expect(notices('sgd', 'fast')).toEqual(['--train-step, --beta, --replays: no effect on training by sgd and fast', radius]);
  expect(notices('sgd', 'sgd')).toEqual(['--train-step, --beta, --replays: no effect on training by sgd', radius]);
  expect(notices('free')).toEqual(['--train-step, --beta: no effect on training by free', radius]);
});

it('notices what of the training attack a mode does not look at', () => {
  const attack = { trainEps: 4, trainStep: 7, trainGamma: 1, trainRandinit: false } as const;
  const notices = (mode: TrainConfig['mode'], given: Partial<TrainConfig>) =>
    configNotices({ ...given, mode }, resolve({ ...given, mode }));
  expect(notices('sgd', attack)).toEqual([
    '--train-eps, --train-step, --train-gamma, --train-randinit: no effect with --mode sgd',
  ]);
  expect(notices('fast', attack)).toEqual(['--train-step, --train-gamma: no effect with --mode fast']);
  expect(notices('free', attack)).toEqual(['--train-step, --train-gamma, --train-randinit: no effect with --mode free']);
  for (const mode of ['trades', 'mart'] as const)
    expect(notices(mode, attack)).toEqual([`--train-randinit: no effect with --mode ${mode}`]);
  for (const mode of ['pgd', 'awp'] as const) expect(notices(mode, { ...attack, randinit: false })).toEqual([]);
  expect(notices('free', { randinit: false })).toEqual([
    '--no-randinit: no effect on training with --mode free, only on evaluation',
  ]);
});

it('notices a radius that was meant as a fraction of 1', () => {
  const notices = (given: Partial<TrainConfig>) => configNotices(given, resolve(given));
  expect(notices({ trainEps: 0.03137, testEps: 0.5 })).toEqual([
    '--train-eps 0.03137 is 0.03137/255; 8/255 is --train-eps 8',
    '--test-eps 0.5 is 0.5/255; 8/255 is --test-eps 8',
  ]);
  expect(notices({ trainEps: 0, testEps: 1 })).toEqual([]);
  expect(notices({ trainEps: 0.5, norm: 'l2' })).toEqual([]);
  expect(notices({ trainEps: 128, testEps: 2, norm: 'l2' })).toEqual([
    '--train-eps 128: L2 is given directly; 128/255 is --train-eps 0.502',
  ]);
});

describe('config.json', () => {
  it('gives back every configuration', () => {
    const given = fc.record(
      {
        density: fc.double({ min: 0.01, max: 1, noNaN: true }),
        norm: fc.constantFrom('linf' as const, 'l2' as const),
        trainEps: fc.double({ min: 0, max: 255, noNaN: true }),
        decreasingLr: fc.constantFrom<number[]>([1], [3, 9]),
        randinit: fc.boolean(),
        fb: fc.boolean(),
        limit: fc.integer({ min: 1 }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(given, values => {
        const config = resolve(values);
        const again = decodeConfig(encodeConfig(config), 'config.json');
        expect(again).toEqual(config);
        assertSameRun(again, config, 'run');
      }),
    );
  });

  it('gives settings that did not exist yet their defaults', () => {
    expect(decodeConfig(JSON.stringify({ version: 1, ...least }), 'c')).toEqual(resolve());
  });

  it.each<[string, string]>([
    ['{', 'c.json: is not valid JSON'],
    ['{"name":"other"}', 'c.json: is not a configuration of sparrow'],
    ['null', 'c.json: is not a configuration of sparrow'],
    ['{"version":99}', 'c.json: was written by a newer sparrow (version 99)'],
    ['{"version":1,"quantum":true}', 'c.json: was written by a newer sparrow (quantum)'],
    ['{"version":1,"dataset":"shapes","arch":"resnet18","density":7}', 'c.json: --density must be'],
  ])('refuses %s', (json, message) => {
    expect(() => decodeConfig(json, 'c.json')).toThrow(FileError);
    expect(() => decodeConfig(json, 'c.json')).toThrow(message);
  });
});

describe('resume', () => {
  it('names every flag that differs', () => {
    const saved = resolve({ nesterov: true, density: 0.2, growth: 'random', decreasingLr: [3], augment: true });
    const now = resolve({ density: 0.5, growth: 'gradient', decreasingLr: [3, 4], augment: false });
    expect(() => assertSameRun(saved, now, 'runs/fb')).toThrow(UsageError);
    expect(() => assertSameRun(saved, now, 'runs/fb')).toThrow(
      'cannot resume runs/fb with other settings: --no-augment was not given, now given; --decreasing-lr was 3, now 3,4; ' +
        "--nesterov was given, now not given; --density was 0.2, now 0.5; --growth was 'random', now 'gradient'",
    );
  });

  it('minds exactly the settings that can change a number', () => {
    const free = Object.entries(trainFlags).flatMap(([key, flag]) => (flag.free ? [key] : []));
    const wanted = [
      'data',
      'randinit',
      'reset',
      'saveDir',
      'resume',
      'resumeDir',
      'pretrained',
      'eval',
      'adapter',
      'gpu',
      'printFreq',
      'profile',
    ];
    expect(free.sort()).toEqual(wanted.sort());
    assertSameRun(
      resolve({ saveDir: 'a' }),
      resolve({ saveDir: 'b', resume: true, adapter: 'gpu', printFreq: 7, data: 'x' }),
      'run',
    );
    expect(() => assertSameRun(resolve({ epochs: 3 }), resolve({ epochs: 4 }), 'run')).toThrow('--epochs was 3, now 4');
  });
});

it('spells flags as people type them', () => {
  const names = ['trainEps', 'augment', 'trainRandinit', 'fbp'].map(key => flagName(key, trainFlags[key as keyof TrainConfig]));
  expect(names).toEqual(['--train-eps', '--no-augment', '--train-randinit', '--fbp']);
});
