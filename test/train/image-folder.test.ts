/** From files to a trained network: a folder of 64x64 images through the command line, and what its checkpoint says of them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { readSafetensors } from '../../src/data/files.ts';
import { jpeg, png, put, rgb } from '../data/image-writer.ts';

const bin = inject('command');
const folder = mkdtempSync(join(tmpdir(), 'sparrow-folder-'));
const saveDir = join(folder, 'run');
const env = { ...process.env, SPARROW_CACHE: join(folder, 'cache') };

beforeAll(async () => {
  // more files than a thread takes at a time, so that several threads decode
  for (const [k, name] of ['cat', 'dog', 'eel'].entries()) {
    const [one, other] = [await jpeg(rgb(64, k), 64), png(rgb(64, k + 3), 64)];
    for (let i = 0; i < 50; i++) put(join(folder, 'data', 'train', name, `${i}.${i % 2 ? 'png' : 'jpg'}`), i % 2 ? other : one);
    for (let i = 0; i < 2; i++) put(join(folder, 'data', 'test', name, `${i}.jpg`), one);
  }
  put(join(folder, 'data', 'train', 'cat', 'half.jpg'), (await jpeg(rgb(64, 9), 64)).subarray(0, 900));
});
afterAll(() => rmSync(folder, { recursive: true }));

const train = (...more: string[]) => {
  const network = '--arch wideresnet --depth-factor 10 --width-factor 2 --width 8 --batch-size 8 --limit 20 --eval-limit 5'.split(
    ' ',
  );
  const attack = '--epochs 1 --train-step 1 --test-step 1'.split(' ');
  const place = ['--dataset', 'folder', '--data', join(folder, 'data'), '--save-dir', saveDir, '--json'];
  return spawnSync(process.execPath, [bin, 'train', ...place, ...network, ...attack, ...more], { encoding: 'utf8', env });
};

it('a corrupt image ends the run before it begins', () => {
  const { status, stderr } = train();
  expect(stderr).toMatch(/half\.jpg cannot be decoded: Premature end of JPEG file; replace it, or .* --skip-corrupt\n$/);
  expect(status).toBe(1);
  expect(existsSync(saveDir)).toBe(false);
});

it('one epoch with --skip-corrupt, to a checkpoint that knows its network and images', () => {
  const { status, stdout, stderr } = train('--skip-corrupt');
  expect(stderr).toMatch(/train: 1 of 151 images are corrupt and left out \(--skip-corrupt\)/);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ arch: 'wideresnet', dataset: 'folder', final: { epoch: 0 } });
  expect(readdirSync(join(folder, 'cache', 'images'))).toHaveLength(2);
  expect(readSafetensors(join(saveDir, 'samples.safetensors')).tensors.get('clean')!.shape).toEqual([5, 3, 64, 64]);
  const checkpoint = join(saveDir, 'checkpoint.safetensors');
  const inspected = JSON.parse(execFileSync(process.execPath, [bin, 'inspect', checkpoint, '--json'], { encoding: 'utf8', env }));
  expect(inspected).toMatchObject({
    arch: 'wideresnet',
    width: 8,
    depthFactor: 10,
    widthFactor: 2,
    shape: [3, 64, 64],
    classes: 3,
  });
  const first = inspected.layers.find((layer: { name: string }) => layer.name === 'conv1.weight');
  expect([first.shape, first.flops.dense]).toEqual([[2, 3, 3, 3], 64 * 64 * 2 * 27]);
});

it('weights of another wideresnet are refused', () => {
  const score = ['--eval', '--pretrained', join(saveDir, 'checkpoint.safetensors'), '--skip-corrupt'];
  const { status, stderr } = train(...score, '--depth-factor', '16');
  expect(stderr).toMatch(/checkpoint\.safetensors: depthFactor is 10, not 16\n$/);
  expect(status).toBe(1);
});

it('is not resumed on other images, whose mean and deviation are not those that its network normalises with', () => {
  for (let i = 0; i < 40; i++) rmSync(join(folder, 'data', 'train', 'eel', `${i}.${i % 2 ? 'png' : 'jpg'}`));
  const { status, stderr } = train('--skip-corrupt', '--resume');
  expect(stderr).toMatch(
    /checkpoint\.safetensors: normalises with mean .*; folder has mean .*: give the data set it was trained on\n$/,
  );
  expect(status).toBe(1);
});
