/** `sparrow eval`, `attack`, `explain` and `train --eval` with data and checkpoints that do not quite go together: sizes, corrupt images, two networks. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, writeFileAtomic, writeSafetensors } from '../../src/data/files.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { readState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { encodeCheckpoint } from '../../src/train/checkpoint.ts';
import { jpeg, png, put, rgb } from '../data/image-writer.ts';
import { testDevice } from '../engine.ts';
import { inProcess, linesOf } from './in-process.ts';

const device = await testDevice();
const folder = mkdtempSync(join(tmpdir(), 'sparrow-foreign-'));
afterAll(() => rmSync(folder, { recursive: true }));

const own = { mean: [0.3, 0.4, 0.5], std: [0.2, 0.3, 0.4] };
/** Of images of 16x16: checkpoints of two networks, and the first one's weights alone. */
const [narrow, wide, plain] = ['narrow', 'wide', 'plain'].map(name => join(folder, `${name}.safetensors`));
/** Ten classes of images, 16x16 and 8x8, and 16x16 with a file that is cut off. */
const [images, small, broken] = ['images', 'small', 'broken'].map(name => join(folder, name));

async function save(path: string, width: number): Promise<void> {
  const model = createModel('resnet8', { device, random: new Random(width) }, { width, classes: 10, ...own });
  const none = new Map();
  const bytes = encodeCheckpoint({
    ...{ arch: 'resnet8', dataset: 'cifar10', classes: 10, width, shape: [3, 16, 16], normalisation: own },
    ...{ model: await readState(model), masks: none, momentum: none, fired: none, denseMomentum: none },
    ...{ epoch: 0, iteration: 0, history: [], random: null, state: null },
  });
  writeFileAtomic(path, bytes);
  model.dispose();
}

beforeAll(async () => {
  await save(narrow, 2);
  await save(wide, 4);
  writeSafetensors(plain, readSafetensors(narrow).tensors);
  for (const [path, size] of [
    [images, 16],
    [small, 8],
    [broken, 16],
  ] as const)
    for (let k = 0; k < 10; k++)
      for (const name of ['train', 'test'])
        for (const i of [0, 1]) put(join(path, name, `class${k}`, `${i}.png`), png(rgb(size, k + 20 * i), size));
  put(join(broken, 'test', 'class3', '2.jpg'), (await jpeg(rgb(16, 9), 16)).subarray(0, 300));
});

const on = (data: string) => ['--dataset', 'folder', '--data', data];
const few = ['--attack', 'pgd-1', '--limit', '8', '--batch-size', '8'];
const network = ['--arch', 'resnet8', '--width', '2'];

describe('images of another size than those of training are refused', () => {
  it.each<[string, () => string[]]>([
    ['eval', () => ['eval', '--checkpoint', narrow, ...few, ...on(small)]],
    ['attack', () => ['attack', '--checkpoint', narrow, '--out', join(folder, 'none.safetensors'), ...few, ...on(small)]],
    ['train --eval', () => ['train', '--eval', '--pretrained', narrow, ...network, ...on(small)]],
  ])('%s', async (_, args) => {
    const { code, stdout, stderr } = await inProcess([...args(), '--quiet']);
    expect([code, stdout]).toEqual([1, '']);
    expect(linesOf(stderr)).toEqual([`sparrow: ${narrow}: was trained on images of [3, 16, 16], those of folder are [3, 8, 8]`]);
  });
});

describe('a corrupt image', () => {
  const commands = {
    eval: () => ['eval', '--checkpoint', narrow],
    explain: () => ['explain', '--checkpoint', narrow, '--out', join(folder, 'explain'), '--figures', 'saliency'],
  };

  it.each(Object.entries(commands))('%s: the flag that the error names leaves it out, and says so', async (_, command) => {
    const args = [...command(), ...few, ...on(broken)];
    const refused = await inProcess([...args, '--quiet']);
    expect([refused.code, linesOf(refused.stderr)]).toEqual([
      1,
      [expect.stringMatching(/2\.jpg cannot be decoded: .* --skip-corrupt$/)],
    ]);
    const { code, stderr } = await inProcess([...args, '--skip-corrupt']);
    expect(code).toBe(0);
    expect(linesOf(stderr)).toContain('sparrow: test: 1 of 21 images are corrupt and left out (--skip-corrupt)');
  });

  it('attack takes the flag too', async () => {
    const out = join(folder, 'adv.safetensors');
    const { code, stderr } = await inProcess(['attack', '--checkpoint', join(folder, 'no-file'), '--out', out, '--skip-corrupt']);
    expect([code, linesOf(stderr)]).toEqual([1, [expect.stringMatching(/no-file: it does not exist$/)]]);
  });
});

describe('a network on data of another set', () => {
  it('is scored with its own normalisation by eval and by train --eval, and both say so', async () => {
    const score = async (...args: string[]) => {
      const { code, stdout, stderr } = await inProcess([...args, ...on(images), '--json']);
      expect([code, linesOf(stderr).filter(line => line.includes('was trained on cifar10, not on folder'))]).toEqual([
        0,
        [expect.stringContaining('mean 0.3 0.4 0.5, std 0.2 0.3 0.4')],
      ]);
      return JSON.parse(stdout);
    };
    const scored = await score('eval', '--checkpoint', narrow, '--attack', 'pgd-2', '--batch-size', '8');
    const training = ['train', '--eval', '--pretrained', narrow, ...network, '--test-step', '2', '--batch-size', '8'];
    const again = await score(...training);
    expect([again.n, again.sa, again.attacks['pgd-2'].ra]).toEqual([scored.n, scored.sa, scored.attacks['pgd-2'].ra]);
  });

  it('a state_dict that has its own is scored as the checkpoint that it was exported from', async () => {
    const exported = join(folder, 'exported.pth');
    expect((await inProcess(['export', '--checkpoint', narrow, '--to', 'pth', '--out', exported, '--quiet'])).code).toBe(0);
    const scores = async (...args: string[]) => {
      const { code, stdout, stderr } = await inProcess(['eval', '--checkpoint', ...args, ...few, ...on(images), '--json']);
      expect([code, linesOf(stderr).filter(line => line.includes('mean 0.3 0.4 0.5, std 0.2 0.3 0.4')).length]).toEqual([0, 1]);
      const { sa, attacks } = JSON.parse(stdout);
      return [sa, attacks['pgd-1'].ra];
    };
    expect(await scores(exported, ...network)).toEqual(await scores(narrow));
  });

  it('is trained on with the normalisation of these data, which is said', async () => {
    const save = join(folder, 'tuned');
    const args = [
      'train',
      ...network,
      '--init',
      narrow,
      '--epochs',
      '1',
      '--train-step',
      '1',
      '--test-step',
      '1',
      '--batch-size',
      '20',
    ];
    const { code, stderr } = await inProcess([...args, ...on(images), '--save-dir', save]);
    expect(code).toBe(0);
    expect(linesOf(stderr)).toContainEqual(
      expect.stringMatching(
        /narrow\.safetensors: normalises with mean 0\.3 0\.4 0\.5, .*; it is trained on with those of folder, mean /,
      ),
    );
    const { mean } = readSafetensors(join(save, 'checkpoint.safetensors')).metadata;
    expect(mean.split(',').map(Number)).not.toEqual(own.mean);
  });
});

describe('a transfer between two networks', () => {
  const evaluate = (...args: string[]) => inProcess(['eval', ...args, ...few, ...on(images), '--json', '--quiet']);

  it.each<[string, () => string[]]>([
    ['of two checkpoints: --arch and --width are those of the one that is scored', () => [wide, narrow, '--width', '4']],
    ['from a checkpoint to plain weights: they are those of the weights', () => [plain, wide, ...network]],
    ['from plain weights to a checkpoint: again those of the weights', () => [wide, plain, ...network]],
  ])('%s', async (_, files) => {
    const [scored, source, ...asked] = files();
    const { code, stdout, stderr } = await evaluate('--checkpoint', scored, '--transfer-from', source, ...asked);
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout).n).toBe(8);
  });

  it('another width than that of the scored checkpoint is refused', async () => {
    const { code, stderr } = await evaluate('--checkpoint', wide, '--transfer-from', narrow, '--width', '2');
    expect([code, linesOf(stderr)]).toEqual([1, [`sparrow: ${wide}: width is 4, not 2`]]);
  });
});
