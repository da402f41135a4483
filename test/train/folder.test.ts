/** A run's folder on disk: what is saved comes back, and `metrics.jsonl` agrees with the checkpoint after a kill. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Checkpoint } from '../../src/train/checkpoint.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { RunFolder } from '../../src/train/folder.ts';
import { withoutTimings } from '../../src/train/metrics.ts';

let root: string;
let run: RunFolder;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sparrow-run-'));
  run = new RunFolder(join(root, 'deep/run'));
  run.prepare();
});
afterEach(() => rmSync(root, { recursive: true }));

const metrics = (epoch: number, seconds = 10) => ({
  ...{ epoch, trainRa: 0.3, valSa: 0.5, valRa: 0.3, valLoss: 1.9, testSa: 0.5, testRa: 0.29 },
  ...{ lr: 0.1, density: 0.2, deathRate: 0.4, fired: 0.3, imagesPerSecond: 100, seconds },
});
const lines = () => readFileSync(run.file('metrics.jsonl'), 'utf8').split('\n').slice(0, -1);

it('has nothing to load at first', () => {
  expect([run.loadConfig(), run.loadCheckpoint(), run.loadCheckpoint('best-ra')]).toEqual([undefined, undefined, undefined]);
});

it('gives back configuration and checkpoints', () => {
  const config = resolveConfig({ dataset: 'shapes', arch: 'resnet18', saveDir: run.path, fb: true });
  const tensors = { model: new Map([['w', { shape: [1], data: Float32Array.of(3) }]]), masks: new Map(), momentum: new Map() };
  const kept = { fired: new Map(), denseMomentum: new Map() };
  const identity = { arch: 'resnet18', dataset: 'shapes', classes: 10, width: 64 };
  const checkpoint: Checkpoint = {
    ...tensors,
    ...kept,
    ...identity,
    epoch: 1,
    iteration: 9,
    history: [],
    random: null,
    state: null,
  };
  run.saveConfig(config);
  run.saveCheckpoint(checkpoint);
  run.saveCheckpoint({ ...checkpoint, epoch: 2 }, 'best-ra');
  expect(run.loadConfig()).toEqual(config);
  expect(run.loadCheckpoint()).toEqual(checkpoint);
  expect(run.loadCheckpoint('best-ra')!.epoch).toBe(2);
  expect(readdirSync(run.path).sort()).toEqual(['best-ra.safetensors', 'checkpoint.safetensors', 'config.json']);
});

it('cuts metrics back to the history of the checkpoint and keeps their timings', () => {
  for (let epoch = 0; epoch < 4; epoch++) run.appendMetrics(metrics(epoch, 10 + epoch));
  const before = lines();
  expect(run.restoreMetrics([0, 1].map(epoch => withoutTimings(metrics(epoch))))).toBe(10 + 11);
  expect(lines()).toEqual(before.slice(0, 2));
  run.appendMetrics(metrics(2));
  expect(lines().map(line => JSON.parse(line).epoch)).toEqual([0, 1, 2]);
});

it('replaces torn and foreign lines', () => {
  const torn = JSON.stringify(metrics(1)).slice(0, 30);
  writeFileSync(run.file('metrics.jsonl'), `${JSON.stringify({ ...metrics(0), valRa: 0.9 })}\n${torn}`);
  expect(run.restoreMetrics([withoutTimings(metrics(0)), withoutTimings(metrics(1))])).toBe(0);
  expect(lines().map(line => JSON.parse(line))).toEqual([withoutTimings(metrics(0)), withoutTimings(metrics(1))]);
});

it('takes over the best checkpoints of a run that goes on here, and keeps nothing of an earlier one', () => {
  const source = new RunFolder(join(root, 'source'));
  source.prepare();
  writeFileSync(source.file('best-ra.safetensors'), 'best of the source');
  const earlier = ['best-ra.safetensors', 'best-sa.safetensors', 'checkpoint.safetensors', 'config.json', 'result.json'];
  for (const name of earlier) writeFileSync(run.file(name), 'of an earlier run');
  run.takeOver(source);
  expect(readdirSync(run.path)).toEqual(['best-ra.safetensors']);
  expect(readFileSync(run.file('best-ra.safetensors'), 'utf8')).toBe('best of the source');
});

it('forgets all that an earlier run would be taken by, its settings last', () => {
  const forgotten = ['best-ra', 'best-sa', 'checkpoint', 'samples'].map(name => `${name}.safetensors`);
  const names = [...forgotten, 'config.json', 'distances.json', 'notes.txt', 'report.html', 'result.json'];
  for (const name of names) writeFileSync(run.file(name), 'of an earlier run');
  const removed: string[] = [];
  const remove = run.remove.bind(run);
  run.remove = name => {
    removed.push(name);
    remove(name);
  };
  run.discard();
  expect([readdirSync(run.path), removed.at(-1)]).toEqual([['notes.txt'], 'config.json']);
});

it('keeps the best checkpoint that a later run starts from, by whatever path', () => {
  const link = join(root, 'best.safetensors');
  symlinkSync(run.file('best-ra.safetensors'), link);
  for (const start of [run.file('best-ra.safetensors'), `${root}/deep/../deep/run/best-ra.safetensors`, link]) {
    for (const name of ['best-ra.safetensors', 'best-sa.safetensors']) writeFileSync(run.file(name), 'of an earlier run');
    run.discard(start);
    expect(readdirSync(run.path)).toEqual(['best-ra.safetensors']);
  }
});

it('refuses a run that would start from the checkpoint that it replaces, by whatever path', () => {
  const file = run.file('checkpoint.safetensors');
  writeFileSync(file, 'its own');
  const link = join(root, 'link.safetensors');
  symlinkSync(file, link);
  for (const start of [file, `${root}/deep/../deep/run/checkpoint.safetensors`, link])
    expect(() => run.assertSpares(start)).toThrow(`${start}: the run would start from the checkpoint that it replaces`);
  for (const start of [undefined, run.file('best-ra.safetensors'), join(root, 'none')]) run.assertSpares(start);
});

it('keeps everything where a run goes on in its own folder, by whatever path', () => {
  for (const name of ['best-ra.safetensors', 'checkpoint.safetensors', 'config.json']) writeFileSync(run.file(name), 'its own');
  symlinkSync(run.path, join(root, 'link'));
  for (const path of [run.path, `${run.path}/`, join(root, 'link')]) {
    run.takeOver(new RunFolder(path));
    expect(readdirSync(run.path)).toEqual(['best-ra.safetensors', 'checkpoint.safetensors', 'config.json']);
  }
});
