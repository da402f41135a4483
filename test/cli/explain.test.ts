/** `sparrow explain` on trained checkpoints: its JSON, its files, seeds, layers, and bad input. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, writeFileAtomic, writeSafetensors } from '../../src/data/files.ts';
import { shapes } from '../../src/data/shapes.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { readState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import { encodeCheckpoint } from '../../src/train/checkpoint.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { trainRun } from '../../src/train/run.ts';
import { png, put, rgb } from '../data/image-writer.ts';
import { testDevice } from '../engine.ts';
import { parsePage } from '../report/html.ts';
import { inProcess, inProcessJson, linesOf } from './in-process.ts';

const device = await testDevice();
const folder = mkdtempSync(join(tmpdir(), 'sparrow-explain-'));
const file = join(folder, 'run', 'checkpoint.safetensors');

beforeAll(async () => {
  const data = shapes({ train: 200, val: 2, test: 2 });
  const small = { dataset: 'shapes', arch: 'resnet8', width: 4, mode: 'sgd', testStep: 1, batchSize: 20, lr: 0.1 } as const;
  const config = resolveConfig({ ...small, epochs: 1, decreasingLr: [1], fb: true, density: 0.4, saveDir: join(folder, 'run') });
  await trainRun(config, {}, { device, data });
});
afterAll(() => rmSync(folder, { recursive: true }));

const json = (...args: string[]) => inProcessJson(args);

/** What most runs here explain: the second batch is smaller than the first. */
const attack = ['--checkpoint', file, '--limit', '6', '--batch-size', '4', '--attack', 'pgd-2', '--no-randinit'];
const few = [...attack, '--grid', '5', '--surfaces', '2'];
const explain = (out: string, ...args: string[]) => json('explain', ...few, '--out', join(folder, out), ...args);
const numbersIn = (out: string) => readSafetensors(join(folder, out, 'explain.safetensors')).tensors;

describe('explain', () => {
  it('one JSON object, the same in its file, a page, and the numbers behind it', async () => {
    const { files, ...summary } = await explain('all');
    expect(summary).toMatchObject({
      ...{ checkpoint: file, arch: 'resnet8', dataset: 'shapes', split: 'test', attack: 'pgd-2', norm: 'linf', n: 6 },
      ...{ layer: 'blocks.2', map: [16, 4, 4], flip: true, eigen: true },
      around: { images: 2, grid: 5, radius: 2 },
      weights: { grid: 5, radius: 1, recraft: 0 },
    });
    expect(summary.weights.density).toBeCloseTo(0.4, 2);
    expect(readdirSync(join(folder, 'all')).sort()).toEqual(['explain.html', 'explain.json', 'explain.safetensors']);
    expect(JSON.parse(readFileSync(files.summary, 'utf8'))).toEqual(summary);
    expect(parsePage(readFileSync(files.page, 'utf8')).errors).toEqual([]);
    // images and attack are those of `sparrow attack`, to the bit
    const attacked = join(folder, 'attacked.safetensors');
    const scored = await json('attack', ...attack, '--out', attacked);
    expect([summary.sa, summary.ra]).toEqual([scored.sa, scored.attacks['pgd-2'].ra]);
    const numbers = numbersIn('all');
    expect(numbers.get('adv')!.data).toEqual(readSafetensors(attacked).tensors.get('adv')!.data);
    const { images, labels } = shapes({ train: 1, val: 1, test: 6 }).test;
    expect(Array.from(numbers.get('labels')!.data, Number)).toEqual([...labels]);
    expect((numbers.get('clean')!.data as Float32Array).every((v, i) => Math.abs(v - images[i] / 255) < 1e-6)).toBe(true);
    // the surfaces agree about the same network on the same images
    const losses = numbers.get('input.loss')!.data as Float32Array;
    expect(summary.around.centreLoss).toBeCloseTo((losses[12] + losses[37]) / 2, 5);
    const predicted = Array.from(numbers.get('input.pred')!.data, Number);
    expect([predicted[12], predicted[37]]).toEqual(Array.from(numbers.get('pred.clean')!.data, Number).slice(0, 2));
    expect(summary.weights.adv.centreLoss).toBeGreaterThan(summary.weights.clean.centreLoss);
  });

  it('the same seed gives the same bytes, another seed other directions', async () => {
    await explain('again', '--figures', 'cam,saliency,input');
    const first = numbersIn('all');
    const again = new Map([...first].filter(([name]) => !name.startsWith('weights')));
    expect(numbersIn('again')).toEqual(again);
    await explain('seeded', '--seed', '6', '--figures', 'input');
    const other = numbersIn('seeded');
    expect(other.get('adv')).toEqual(first.get('adv'));
    expect(other.get('input.loss')!.data).not.toEqual(first.get('input.loss')!.data);
  });

  it('attacked anew at every point in weight space: the loss of the checkpoint at the centre, a higher one around it', async () => {
    await explain('anew', '--figures', 'weights', '--recraft', '2', '--batch-size', '6');
    const [once, anew] = ['all', 'anew'].map(out => numbersIn(out).get('weights.adv')!.data as Float32Array);
    expect(anew[12]).toBeCloseTo(once[12], 5);
    const mean = (values: Float32Array) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(anew)).toBeGreaterThan(mean(once));
  });

  it('an attack that looks for a first error leaves wrong images as they are, and none all of them', async () => {
    const { changed } = await explain('first', '--attack', 'apgd-ce', '--figures', 'cam', '--limit', '20', '--batch-size', '20');
    const numbers = numbersIn('first');
    const [labels, before] = ['labels', 'pred.clean'].map(name => Array.from(numbers.get(name)!.data, Number));
    const [clean, adv] = ['clean', 'adv'].map(name => numbers.get(name)!.data as Float32Array);
    const attacked = labels.map((_, i) => clean.subarray(i * 3072, (i + 1) * 3072).some((v, p) => v !== adv[i * 3072 + p]));
    expect(attacked).toEqual(before.map((klass, i) => klass === labels[i]));
    expect([new Set(attacked).size, changed]).toEqual([2, attacked.filter(Boolean).length]);
    const none = ['--attack', 'none', '--grid', '3', '--out', join(folder, 'untouched')];
    expect((await inProcess(['explain', ...few, ...none])).stdout).not.toMatch(/RA|attacked/);
    const untouched = numbersIn('untouched');
    for (const name of ['', 'pred.', 'cam.', 'saliency.'])
      expect(untouched.get(`${name}adv`)).toEqual(untouched.get(`${name}clean`));
  });

  it('only the figures asked for, of a layer by its name, without smoothing; for people a table, and where the page is', async () => {
    const out = join(folder, 'cam');
    const plain = ['--figures', 'cam', '--layer', 'conv1', '--no_flip', '--no-eigen', '--limit', '4', '--svg-png'];
    const { code, stdout } = await inProcess(['explain', ...few, ...plain, '--out', out]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^4 images.*\n.*\nSA +\d.*\nRA pgd-2 .*\ncosine of Grad-CAM, clean and attacked +0\.\d+\n\nin /);
    expect(stdout.trimEnd().endsWith(`${join(out, 'explain.html')}, 8 files of figures beside it`)).toBe(true);
    expect(readdirSync(join(out, 'figures')).filter(name => /^image-\d-[\w-]+\.(svg|png)$/.test(name))).toHaveLength(8);
    const summary = JSON.parse(readFileSync(join(out, 'explain.json'), 'utf8'));
    expect(summary).toMatchObject({ layer: 'conv1', map: [4, 16, 16], flip: false, eigen: false });
    expect(Object.keys(summary.similarity)).toEqual(['cam']);
    expect([summary.around, summary.weights]).toEqual([undefined, undefined]);
    const names = [...numbersIn('cam').keys()].sort();
    expect(names).toEqual(['adv', 'cam.adv', 'cam.clean', 'clean', 'labels', 'pred.adv', 'pred.clean']);
  });

  it('a wideresnet of another depth than the default, as its checkpoint says', async () => {
    const network = { width: 4, depthFactor: 10, widthFactor: 1 };
    const { classes, mean, std } = shapes({ train: 1, val: 1, test: 1 });
    const options = { ...network, classes: classes.length, mean, std };
    const model = createModel('wideresnet', { device, random: new Random(1) }, options);
    const wide = join(folder, 'wide.safetensors');
    const empty = { masks: new Map(), momentum: new Map(), fired: new Map(), denseMomentum: new Map(), history: [] };
    const identity = {
      arch: 'wideresnet',
      dataset: 'shapes',
      classes: 10,
      ...network,
      epoch: 0,
      iteration: 0,
      random: 0,
      state: 0,
    };
    writeFileAtomic(wide, encodeCheckpoint({ ...empty, ...identity, model: await readState(model) }));
    model.dispose();
    const { layer, map } = await explain('wide', '--checkpoint', wide, '--figures', 'cam', '--attack', 'fgsm', '--limit', '1');
    expect([layer, map]).toEqual(['block3.layer.0', [4, 8, 8]]);
  });
});

describe('bad input: one line, and no page', () => {
  const out = join(folder, 'bad');
  const small = join(folder, 'small');
  const plain = join(folder, 'plain.safetensors');
  beforeAll(() => {
    for (let k = 0; k < 10; k++)
      for (const split of ['train', 'test']) put(join(small, split, `class${k}`, 'a.png'), png(rgb(16, k), 16));
    put(join(small, 'train', 'class0', 'b.png'), png(rgb(16, 1), 16));
    writeSafetensors(
      plain,
      new Map([...readSafetensors(file).tensors].filter(([name]) => !/^(mask|momentum|fired)\./.test(name))),
    );
  });

  it.each<[string, number, () => string[], RegExp]>([
    ['no checkpoint', 2, () => ['--checkpoint='], /--checkpoint must not be empty, got ''$/],
    ['a missing checkpoint', 1, () => ['--checkpoint', join(folder, 'none')], /cannot read .*none: it does not exist$/],
    ['a limit of 0', 2, () => ['--limit', '0'], /--limit must be a whole number >= 1, got '0'$/],
    ['an even grid', 2, () => ['--grid', '8'], /--grid must be an odd whole number in \[3, 201\], got '8'$/],
    ['a radius of 0', 2, () => ['--weight-radius', '0'], /--weight-radius must be a number > 0, got '0'$/],
    [
      'an unknown figure',
      2,
      () => ['--figures', 'cam,lime'],
      /--figures must be of cam, saliency, input, weights, got 'cam,lime'$/,
    ],
    ['two attacks', 2, () => ['--attack', 'fgsm,pgd-2'], /--attack takes one attack here, got 'fgsm,pgd-2'$/],
    [
      'an unknown layer',
      2,
      () => ['--layer', 'layer5.1'],
      /--layer: no module 'layer5\.1' of the network puts out a feature map; these do: normalize, conv1, .*, blocks\.2, blocks, bn$/,
    ],
    ['a layer without a map', 2, () => ['--layer', 'linear'], /--layer: no module 'linear' .* these do: normalize/],
    [
      'images of another size',
      1,
      () => ['--dataset', 'folder', '--data', small],
      /run\/checkpoint\.safetensors: was trained on images of \[3, 32, 32\], those of folder are \[3, 16, 16\]$/,
    ],
    ['weights without a data set', 2, () => ['--checkpoint', plain], /--dataset is required: .* does not name its data set$/],
  ])('%s', async (_, code, args, message) => {
    const outcome = await inProcess(['explain', ...few, '--out', out, '--quiet', ...args()]);
    expect(linesOf(outcome.stderr)).toEqual([expect.stringMatching(message)]);
    expect([outcome.code, outcome.stdout]).toEqual([code, '']);
    if (existsSync(out)) expect(readdirSync(out)).toEqual([]);
  });

  it('no place to write', async () => {
    expect(await inProcess(['explain', ...few])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'sparrow: --out is required: the folder that gets the page and its numbers\n',
    });
    expect(await inProcess(['explain', ...few, '--out', file])).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^sparrow: cannot write to folder .*checkpoint.safetensors: a file of that name is in the way\n$/,
      ),
    });
  });
});
