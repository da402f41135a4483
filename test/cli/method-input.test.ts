/** Bad input to the methods, as a user meets it: one line that says what is wrong and what to do, the exit code, nothing left behind. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/data/files.ts';
import { jpeg, png, put, rgb } from '../data/image-writer.ts';
import { inProcess, linesOf } from './in-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'sparrow-methods-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = (name: string) => join(folder, name);
const saveDir = path('none');

/** Three classes of 8x8 images. */
const images = path('images');
const small = [
  '--arch',
  'resnet8',
  '--width',
  '2',
  '--batch-size',
  '8',
  '--epochs',
  '1',
  '--train-step',
  '1',
  '--test-step',
  '1',
];
const common = ['--dataset', 'folder', '--data', images, ...small];
/** A network of three classes. */
const checkpoint = path('three/checkpoint.safetensors');
const shapes = ['--dataset', 'shapes', '--limit', '16', '--eval-limit', '4', ...small];

beforeAll(async () => {
  for (const [k, name] of ['cat', 'dog', 'eel'].entries()) {
    for (let i = 0; i < 5; i++) put(join(images, 'train', name, `${i}.png`), png(rgb(8, k + 3 * i), 8));
    put(join(images, 'test', name, '0.png'), png(rgb(8, k), 8));
  }
  const plain = common.filter((_, i) => common[i] !== '--train-step' && common[i - 1] !== '--train-step'); // sgd does not attack
  const { code, stderr } = await inProcess(['train', ...plain, '--mode', 'sgd', '--save-dir', path('three'), '--quiet']);
  expect([code, stderr]).toEqual([0, '']);
});

/** Runs a command; stderr without progress. */
async function failing(...args: string[]): Promise<[code: number, stdout: string, lines: string[]]> {
  const { code, stdout, stderr } = await inProcess([...args, '--quiet']);
  return [code, stdout, stderr.split('\n').filter(line => line !== '')];
}

describe('an attack whose loss needs more classes than there are', () => {
  it.each(['apgd-dlr', 'apgd-t', 'aa', 'aa-plus', 'aa-rand'])('%s: exit code 1, naming the attack that works', async attack => {
    const found = await failing('eval', '--checkpoint', checkpoint, '--data', images, '--attack', attack);
    expect(found).toEqual([1, '', ['sparrow: the DLR loss needs at least 4 classes, the model has 3: attack with apgd-ce']]);
  });

  it.each(['apgd-ce', 'fab-t', 'cw-2'])('%s works with three', async attack => {
    const { code } = await inProcess(['eval', '--checkpoint', checkpoint, '--data', images, '--attack', attack, '--limit', '1']);
    expect(code).toBe(0);
  });
});

describe('images', () => {
  const broken = path('broken');
  const train = (...more: string[]) =>
    failing('train', '--dataset', 'folder', '--data', broken, ...small, '--save-dir', saveDir, ...more);

  it('of another size: exit code 1, naming the file and both sizes', async () => {
    for (const split of ['train', 'test'])
      for (const name of ['cat', 'dog']) put(join(broken, split, name, '0.png'), png(rgb(8, 1), 8));
    const odd = put(join(broken, 'train', 'dog', '1.png'), png(rgb(8, 2, 6), 8, 6));
    const [code, stdout, lines] = await train();
    expect([code, stdout, lines]).toEqual([1, '', [expect.stringContaining(odd)]]);
    expect(lines[0]).toMatch(/8x6.*8x8|8x8.*8x6/);
    rmSync(odd);
  });

  it('that are corrupt: exit code 1, naming the file and the flag that leaves it out', async () => {
    const half = put(join(broken, 'train', 'dog', '2.jpg'), (await jpeg(rgb(8, 9), 8)).subarray(0, 300));
    const found = await train();
    expect(found).toEqual([1, '', [expect.stringMatching(/2\.jpg cannot be decoded: .*--skip-corrupt$/)]]);
    expect(found[2][0]).toContain(half);
    rmSync(half);
  });
});

describe('a density that a method cannot reach: exit code 2, saying the nearest', () => {
  it.each<[string, string[], RegExp]>([
    [
      'by layer',
      ['--fb', '--density', '0.0001'],
      /^sparrow: --density 0\.0001 would keep .* the nearest that this initial mask reaches is 0\.00\d+$/,
    ],
    [
      'network-wide',
      ['--fix', '--sparse-init', 'snip', '--density', '0.0001'],
      /^sparrow: --density 0\.0001 would keep .* the nearest .* is 0\.000\d+$/,
    ],
    [
      'after all rounds',
      ['--imp', '--density', '0.0001'],
      /^sparrow: --density 0\.0001 would keep .* the nearest .* is 0\.000\d+$/,
    ],
    [
      'small-dense',
      ['--scale', '0.01'],
      /^sparrow: --scale 0\.01: no width has as many weights; the nearest is 0\.\d+, at width 1 instead of 2$/,
    ],
  ])('%s', async (_, flags, message) => {
    const [code, stdout, lines] = await failing('train', ...shapes, ...flags, '--save-dir', saveDir);
    expect([code, stdout, lines.at(-1)]).toEqual([2, '', expect.stringMatching(message)]); // --imp says its first round before
  });

  it('of channels', async () => {
    const stages = ['--stage1', 'sgd', '--stage2', 'sgd', '--epochs2', '1', '--pruning', 'channel', '--density', '0.05'];
    const { code, stderr } = await inProcess([
      'robust-bird',
      ...withoutEpochs(shapes),
      ...stages,
      '--save-dir',
      saveDir,
      '--quiet',
    ]);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/--density 0\.05 .* the nearest that channel pruning reaches is 0\.\d+\n$/),
    ]);
  });
});

it('a last batch of one image, where batch norm needs two: exit code 2, and nothing is written', async () => {
  // 13 of 15 images are trained on; the last maps of a ResNet-18 are 1x1 where images are 8x8
  const of = (batch: string) => failing('train', ...common, '--arch', 'resnet18', '--batch-size', batch, '--save-dir', saveDir);
  expect(await of('4')).toEqual([
    2,
    '',
    [
      expect.stringMatching(
        /^sparrow: --batch-size 4: the last batch of 13 images would have 1, .*choose another --batch-size or --limit$/,
      ),
    ],
  ]);
  expect(existsSync(saveDir)).toBe(false);
});

it('images that a network makes too small: exit code 2, and a finished run in the folder stays whole', async () => {
  const before = readdirSync(path('three')).sort();
  const vgg = [...common, '--arch', 'vgg11'];
  const message = 'sparrow: a vgg halves images five times: 8x8 pixels are too few, 32x32 the least';
  expect(await failing('train', ...vgg, '--save-dir', path('three'))).toEqual([2, '', [message]]);
  expect(readdirSync(path('three')).sort()).toEqual(before);
  const stages = ['--stage1', 'pgd', '--stage2', 'pgd', '--epochs2', '1', '--pruning', 'channel', '--density', '0.5'];
  const birds = await failing('robust-bird', ...withoutEpochs(vgg), ...stages, '--save-dir', saveDir);
  expect(birds).toEqual([2, '', [message]]);
  expect([1, 2].map(stage => existsSync(`${saveDir}_stage${stage}`))).toEqual([false, false]);
});

it('train --eval tells of a radius that is next to none', async () => {
  const args = ['train', ...common];
  const { code, stderr } = await inProcess([...args, '--eval', '--pretrained', checkpoint, '--test-eps', '0.03', '--reset']);
  expect([code, linesOf(stderr)]).toEqual([
    0,
    ['sparrow: --reset has no effect', 'sparrow: --test-eps 0.03 is 0.03/255; 8/255 is --test-eps 8'],
  ]);
});

/** `robust-bird` has epochs by stage. */
function withoutEpochs(flags: readonly string[]): string[] {
  const at = flags.indexOf('--epochs');
  return flags.filter((_, i) => i !== at && i !== at + 1);
}

it('channel pruning that would remove a whole layer keeps one channel of it, and says so', async () => {
  const dense = path('dense');
  expect((await inProcess(['train', ...shapes, '--mode', 'sgd', '--save-dir', dense, '--quiet'])).code).toBe(0);
  const { tensors, metadata } = readSafetensors(join(dense, 'checkpoint.safetensors'));
  const gamma = tensors.get('blocks.1.bn2.weight')!; // the one norm between two convolutions
  const faint = { ...gamma, data: Float32Array.from(gamma.data as Float32Array, (_, c) => (c === 1 ? 2e-6 : 1e-6)) };
  const file = path('faint.safetensors');
  writeSafetensors(file, new Map([...tensors, ['blocks.1.bn2.weight', faint]]), metadata);
  const stages = ['--stage1-pretrained', file, '--stage2', 'sgd', '--epochs2', '1', '--pruning', 'channel', '--density', '0.5'];
  const args = ['robust-bird', ...withoutEpochs(shapes), ...stages, '--test-eps', '0.03', '--save-dir', path('rb')];
  const { code, stderr } = await inProcess(args);
  expect([code, stderr]).toEqual([0, stderr]);
  expect(stderr).toContain('--test-eps 0.03 is 0.03/255; 8/255 is --test-eps 8\n');
  expect(stderr).toContain(
    'channel pruning would remove every channel of blocks.1.conv1: the one with the largest gamma is kept\n',
  );
  const { tensors: left } = readSafetensors(`${path('rb')}_stage2/checkpoint.safetensors`);
  expect(left.get('blocks.1.conv1.weight')!.shape[0]).toBe(1);
});

it('stage 2 on a checkpoint of another architecture: exit code 1, naming both', async () => {
  const stages = [
    '--stage1-pretrained',
    checkpoint,
    '--stage2',
    'pgd',
    '--epochs2',
    '1',
    '--pruning',
    'unstructured',
    '--density',
    '0.5',
  ];
  const args = [...withoutEpochs(common), '--arch', 'resnet18', ...stages, '--save-dir', saveDir];
  const message = `sparrow: ${checkpoint}: arch is resnet8, not resnet18`;
  expect(await failing('robust-bird', ...args)).toEqual([1, '', [message]]);
});

it('nothing of this made a folder', () => {
  expect([saveDir, `${saveDir}_stage1`, `${saveDir}_stage2`].filter(place => existsSync(place))).toEqual([]);
});
