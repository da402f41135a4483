/**
 * What people type who come from the PyTorch program of "Sparsity Winning Twice": every flag of its `main_adv.py`, in both spellings, with the default it has
 * there, and the commands of its README.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { givenFlags } from '../../src/cli/options.ts';
import { resolveConfig, type TrainConfig, trainFlags } from '../../src/train/config.ts';
import { writeCifar10Python } from '../data/cifar-writer.ts';
import { parseCommand } from './parse.ts';

const bin = inject('command');
const folder = mkdtempSync(join(tmpdir(), 'sparrow-flags-'));
afterAll(() => rmSync(folder, { recursive: true }));

const required = ['--data', 'd', '--dataset', 'cifar10', '--arch', 'resnet18'];
const settingsOf = (...flags: string[]): TrainConfig => resolveConfig(givenFlags(parseCommand(['train', ...flags]), trainFlags));

/** A flag, the setting it makes, its default, a value as it is typed (none: a switch), and what that means. */
type Row = [
  flag: string,
  key: keyof TrainConfig,
  standard: unknown,
  typed: string | undefined,
  meaning: unknown,
  others?: string[],
];

const table: Row[] = [
  ['--depth_factor', 'depthFactor', 34, '28', 28],
  ['--width_factor', 'widthFactor', 10, '4', 4],
  ['--seed', 'seed', 1, '0', 0],
  ['--gpu', 'gpu', '0', '1', '1'],
  ['--resume', 'resume', false, undefined, true],
  ['--resume_dir', 'resumeDir', undefined, 'runs/a', 'runs/a'],
  ['--pretrained', 'pretrained', undefined, 'a.pth', 'a.pth', ['--eval']],
  ['--eval', 'eval', false, undefined, true, ['--pretrained', 'a.pth']],
  ['--print_freq', 'printFreq', 50, '10', 10],
  ['--save_dir', 'saveDir', undefined, 'runs/a', 'runs/a'],
  ['--batch_size', 'batchSize', 128, '64', 64],
  ['--lr', 'lr', 0.1, '.05', 0.05],
  ['--decreasing_lr', 'decreasingLr', [100, 150], '50,150', [50, 150]],
  ['--momentum', 'momentum', 0.9, '0.8', 0.8],
  ['--weight_decay', 'weightDecay', 5e-4, '1e-4', 1e-4],
  ['--epochs', 'epochs', 200, '100', 100],
  ['--norm', 'norm', 'linf', 'l2', 'l2'],
  ['--train_eps', 'trainEps', 8, '4', 4],
  ['--train_step', 'trainStep', 10, '7', 7],
  ['--train_gamma', 'trainGamma', 2, '1.5', 1.5],
  ['--train_randinit', 'trainRandinit', true, undefined, false],
  ['--test_eps', 'testEps', 8, '4', 4],
  ['--test_step', 'testStep', 20, '10', 10],
  ['--test_gamma', 'testGamma', 2, '1', 1],
  ['--test_randinit', 'testRandinit', true, undefined, false],
  ['--fb', 'fb', false, undefined, true],
  ['--fix', 'fix', false, undefined, true],
  ['--sparse_init', 'sparseInit', 'igq', 'uniform', 'uniform'],
  ['--sparse_init', 'sparseInit', 'igq', 'fixed_ERK', 'erk'],
  ['--sparse_init', 'sparseInit', 'igq', 'ER', 'er'],
  ['--sparse_init', 'sparseInit', 'igq', 'igq', 'igq'],
  ['--reset', 'reset', false, undefined, true],
  ['--growth', 'growth', 'random', 'random', 'random'],
  ['--growth', 'growth', 'random', 'gradient', 'gradient'],
  ['--growth', 'growth', 'random', 'momentum', 'momentum'],
  ['--growth', 'growth', 'random', 'momentum_neuron', 'momentum_neuron'],
  ['--death', 'death', 'magnitude', 'magnitude', 'magnitude'],
  ['--death', 'death', 'magnitude', 'SET', 'SET'],
  ['--death', 'death', 'magnitude', 'threshold', 'threshold'],
  ['--death', 'death', 'magnitude', 'CS_death', 'CS_death'],
  ['--redistribution', 'redistribution', 'none', 'momentum', 'momentum'],
  ['--redistribution', 'redistribution', 'none', 'magnitude', 'magnitude'],
  ['--redistribution', 'redistribution', 'none', 'nonzeros', 'nonzeros'],
  ['--redistribution', 'redistribution', 'none', 'none', 'none'],
  ['--death_rate', 'deathRate', 0.5, '0.3', 0.3],
  ['--density', 'density', 0.2, '0.05', 0.05],
  ['--dynamic_epoch', 'dynamicEpoch', 100, '50', 50],
  ['--decay_schedule', 'decaySchedule', 'cosine', 'cosine', 'cosine'],
  ['--decay_schedule', 'decaySchedule', 'cosine', 'linear', 'linear'],
  ['--decay_schedule', 'decaySchedule', 'cosine', 'constant', 'constant'],
  ['--update_frequency', 'updateFrequency', 900, '1500', 1500],
  ['--update_frequency', 'updateFrequency', 900, 'epoch', 'epoch'],
  ['--fbp', 'fbp', false, undefined, true],
  ['--epoch_range', 'epochRange', 4, '8', 8],
  ['--prune_ratio', 'pruneRatio', 0.4, '.2', 0.2],
  ['--growth_ratio', 'growthRatio', 0.05, '.1', 0.1],
  ['--update_threshold', 'updateThreshold', 0.5, '.75', 0.75],
  ['--dynamic_fre', 'dynamicFre', false, undefined, true],
  ['--second_frequency', 'secondFrequency', 1200, '1000', 1000],
];

describe('a flag of main_adv.py has its default and its meaning, in both spellings', () => {
  it.each(table)('%s (%s, by default %j) %s', (flag, key, standard, typed, meaning, others = []) => {
    expect(settingsOf(...required)[key]).toEqual(standard);
    for (const spelling of [flag, flag.replaceAll('_', '-')]) {
      const given = typed === undefined ? [[spelling]] : [[spelling, typed], [`${spelling}=${typed}`]];
      for (const argv of given) expect(settingsOf(...required, ...argv, ...others)[key]).toEqual(meaning);
    }
  });

  it.each<[string, keyof TrainConfig, [typed: string, meaning: string][]]>([
    ['--data', 'data', [['data/cifar10', 'data/cifar10']]],
    [
      '--dataset',
      'dataset',
      [
        ['cifar10', 'cifar10'],
        ['cifar100', 'cifar100'],
        ['tinyimagenet', 'tinyimagenet'],
      ],
    ],
    [
      '--arch',
      'arch',
      [
        ['resnet18', 'resnet18'],
        ['wideresnet', 'wideresnet'],
        ['vgg16', 'vgg16_bn'],
      ],
    ],
  ])('%s is required', (flag, key, values) => {
    const at = required.indexOf(flag);
    const without = required.filter((_, i) => i !== at && i !== at + 1);
    expect(() => settingsOf(...without)).toThrow(`${flag} is required`);
    for (const [typed, meaning] of values) expect(settingsOf(...without, flag, typed)[key]).toBe(meaning);
  });
});

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function sparrow(...args: string[]): Promise<Outcome> {
  return new Promise(resolve => {
    execFile(process.execPath, [bin, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr });
    });
  });
}

const data = join(folder, 'data', 'cifar10');
writeCifar10Python(data, 4);
/** What makes a full training end in a second. */
const short = ['--epochs', '1', '--limit', '16', '--eval-limit', '4', '--width', '2', '--train_step', '1', '--test_step', '1'];
const common = ['--data', data, '--dataset', 'cifar10', '--arch', 'resnet18'];
const path = (name: string) => join(folder, 'experiment', name);

describe('the commands of its README, with the name of the program replaced and a few flags that let them end', () => {
  it.each<[string, string[]]>([
    ['dense', []],
    ['fb', ['--density', '0.2', '--dynamic_fre', '--fb']],
    ['fb+', ['--density', '0.2', '--dynamic_fre', '--fbp']],
  ])('%s', async (name, flags) => {
    const { code, stderr } = await sparrow('train', ...common, '--save_dir', path(name), ...flags, ...short);
    expect([code, stderr]).toEqual([0, stderr]);
    expect(JSON.parse(readFileSync(join(path(name), 'result.json'), 'utf8')).sparsity).toBeCloseTo(flags.length ? 0.8 : 0, 2);
  });

  it('robust bird: the data set is that of the path, both stages leave their folders', async () => {
    const stages = ['--stage1', 'sgd', '--epochs1', '200', '--stage2', 'pgd', '--epochs2', '200', '--arch', 'resnet18'];
    const pruning = ['--pruning', 'unstructured', '--density', '0.2', '--save_dir', path('rb')];
    const [, , ...thin] = short; // without --epochs: later epochs of a stage win over earlier ones
    const ends = ['--epochs1', '1', '--epochs2', '1', ...thin];
    const { code, stderr } = await sparrow('robust-bird', ...stages, '--data', data, ...pruning, ...ends);
    expect([code, stderr]).toEqual([0, stderr]);
    const result = (stage: 1 | 2) => JSON.parse(readFileSync(join(`${path('rb')}_stage${stage}`, 'result.json'), 'utf8'));
    expect(result(1)).toMatchObject({ dataset: 'cifar10', mode: 'sgd', density: 1, ticket: { emerged: false, epoch: 0 } });
    expect(result(2)).toMatchObject({ dataset: 'cifar10', mode: 'pgd', pruning: 'unstructured', stage1: 'sgd' });
    expect(result(2).sparsity).toBeCloseTo(0.8, 3);
    for (const stage of [1, 2]) expect(existsSync(join(`${path('rb')}_stage${stage}`, 'report.html'))).toBe(true);
  });

  it('score a checkpoint with --pretrained and --eval, and leave no folder behind', async () => {
    const checkpoint = join(path('dense'), 'best-ra.safetensors');
    const flags = ['--pretrained', checkpoint, '--eval', '--save_dir', path('unused'), '--json', '--quiet'];
    const { code, stdout } = await sparrow('train', ...common, ...flags, ...short);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ n: 4, attacks: { 'pgd-1': { ra: expect.any(Number) } } });
    expect(existsSync(path('unused'))).toBe(false);
  });

  it('go on with --resume and --resume_dir, and say that --reset does nothing', async () => {
    const flags = ['--resume', '--resume_dir', path('dense'), '--save_dir', path('again'), '--gpu', '0', '--reset'];
    const { code, stderr } = await sparrow('train', ...common, ...flags, ...short);
    expect(code).toBe(0);
    expect(stderr).toContain('sparrow: --reset has no effect\n');
    const metrics = (name: string) => readFileSync(join(path(name), 'metrics.jsonl'), 'utf8');
    expect(
      metrics('again')
        .split('\n')
        .map(line => line && JSON.parse(line).testRa),
    ).toEqual(
      metrics('dense')
        .split('\n')
        .map(line => line && JSON.parse(line).testRa),
    );
    const best = (name: string) => ['best-ra', 'best-sa'].map(file => readFileSync(join(path(name), `${file}.safetensors`)));
    expect(best('again')).toEqual(best('dense')); // no later epoch was better: there was none
  });

  it('take every rule at once', async () => {
    const rules = [
      '--growth',
      'momentum_neuron',
      '--death',
      'CS_death',
      '--redistribution',
      'nonzeros',
      '--decay-schedule',
      'linear',
    ];
    const numbers = ['--second_frequency', '3', '--update_frequency', '2', '--dynamic_epoch', '0', '--death-rate', '0.4'];
    const flags = ['--fbp', '--dynamic_fre', '--sparse_init', 'fixed_ERK', '--train_randinit', '--batch_size', '4'];
    const { code, stderr } = await sparrow(
      'train',
      ...common,
      ...rules,
      ...numbers,
      ...flags,
      ...short,
      '--save_dir',
      path('all'),
    );
    expect([code, stderr]).toEqual([0, expect.stringContaining('mask update at iteration 2: prune no, grow no')]);
  });
});
