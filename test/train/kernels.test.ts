/** A run keeps the kernels that it was started with: beside its configuration, through a resume, and whatever is measured meanwhile. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { shapes } from '../../src/data/shapes.ts';
import { type Choices, choicesOf, encodeChoices, useChoices, type Variant } from '../../src/kernels/choices.ts';
import { convCandidates, convKey, convolutionsIn } from '../../src/kernels/conv-choices.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Random } from '../../src/tensor/philox.ts';
import { capture, empty } from '../../src/tensor/tensor.ts';
import { resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { trainRobustBird } from '../../src/train/robust-bird/run.ts';
import { resolveRobustBird } from '../../src/train/robust-bird/settings.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const base = mkdtempSync(join(tmpdir(), 'sparrow-kernels-'));
const data = shapes({ seed: 3, train: 32, val: 16, test: 16 });
const notices: string[] = [];
let measured: Choices;
let folders = 0;

const small: Partial<TrainConfig> = {
  ...{ dataset: 'shapes', arch: 'resnet8', width: 8, batchSize: 16, epochs: 1, lr: 0.05, decreasingLr: [1] },
  ...{ trainStep: 1, testStep: 1, seed: 2 },
};
const newFolder = () => join(base, `run${folders++}`);

/** Trains; with `iterations` only so many before it is interrupted. */
function run(saveDir: string, settings: Partial<TrainConfig> = {}, iterations = Number.POSITIVE_INFINITY) {
  let asked = 0;
  const shouldStop = () => ++asked >= iterations;
  const onNotice = (line: string) => void notices.push(line);
  return trainRun(resolveConfig({ ...small, saveDir, ...settings }), { shouldStop, onNotice }, { device, data });
}
const kernels = (folder: string) => readFileSync(join(folder, 'kernels.json'), 'utf8');
const bits = (folder: string) =>
  createHash('sha256')
    .update(readFileSync(join(folder, 'checkpoint.safetensors')))
    .digest('hex');

beforeAll(() => {
  // weight gradients with slices of the sums that the defaults do not make: other roundings, the same mathematics
  const model = createModel(
    'resnet8',
    { device, random: new Random(1) },
    { width: 8, classes: 10, mean: [0, 0, 0], std: [1, 1, 1] },
  );
  const works = convolutionsIn(() => capture(device, () => void model.forward(empty(device, [16, 3, 32, 32]))).dispose());
  const weights = works.map(({ shape }) => ({ pass: 'weight gradient' as const, shape }));
  // on GPUs, whose defaults make as many as there are, fewer
  const last = device.adapter.processor ? -1 : -2;
  measured = new Map(
    weights.map(work => [
      convKey(work),
      { variant: convCandidates(device, work).at(last) as unknown as Variant, best: 1, default: 2 },
    ]),
  );
  model.dispose();
});
beforeEach(() => {
  useChoices(device, measured);
  notices.length = 0;
});
afterAll(() => rmSync(base, { recursive: true }));

describe('a resumed run', () => {
  it('gives the bits of one that was never interrupted, though other kernels are measured by then', async () => {
    const [whole, other, resumed] = [newFolder(), newFolder(), newFolder()];
    await run(whole);
    expect(kernels(whole)).toBe(encodeChoices(device));
    await run(resumed, {}, 1);
    useChoices(device, new Map());
    await run(other);
    expect(bits(other), 'kernels change the bits').not.toBe(bits(whole));
    expect((await run(resumed, { resume: true })).interrupted).toBe(false);
    expect(bits(resumed)).toBe(bits(whole));
    expect(kernels(resumed)).toBe(kernels(whole));
    expect(choicesOf(device).size, "the caller's choices are back").toBe(0);
  });

  it('keeps its kernels in another folder, and defaults where it began before there were choices', async () => {
    const [first, elsewhere, old] = [newFolder(), newFolder(), newFolder()];
    await run(first, {}, 1);
    useChoices(device, new Map());
    await run(elsewhere, { resumeDir: first }, 1);
    expect(kernels(elsewhere)).toBe(kernels(first));

    await run(old, {}, 1);
    rmSync(join(old, 'kernels.json'));
    useChoices(device, measured);
    await run(old, { resume: true }, 1);
    useChoices(device, new Map());
    expect(kernels(old)).toBe(encodeChoices(device));
  });

  it('says so where it goes on with another adapter, and keeps its own choices for the way back', async () => {
    const folder = newFolder();
    await run(folder, {}, 1);
    const foreign = kernels(folder).replace(/"adapters": \{\s*"/, '$&other, ');
    writeFileSync(join(folder, 'kernels.json'), foreign);
    await run(folder, { resume: true }, 1);
    expect(notices).toContain(
      `${join(folder, 'kernels.json')}: was written with another adapter or driver; kernels run with their defaults`,
    );
    expect(kernels(folder)).toBe(foreign);
  });

  it('does not go on by itself where its choices are damaged', async () => {
    const folder = newFolder();
    await run(folder, {}, 1);
    writeFileSync(join(folder, 'kernels.json'), kernels(folder).slice(0, -20));
    await expect(run(folder, { resume: true })).rejects.toThrow(`${join(folder, 'kernels.json')}: is not valid JSON`);
  });
});

it('a new run in an old folder takes what is measured now', async () => {
  const folder = newFolder();
  await run(folder, {}, 1);
  useChoices(device, new Map());
  await run(folder, {}, 1);
  expect(kernels(folder)).toBe(encodeChoices(device));
});

it('all rounds of iterative pruning compute with the kernels of the first', async () => {
  const folder = newFolder();
  const settings = { imp: true, impRate: 0.5, density: 0.5 };
  await run(folder, settings, 1);
  const first = kernels(join(folder, 'round-0'));
  useChoices(device, new Map());
  await run(folder, { ...settings, resume: true });
  expect(kernels(folder)).toBe(first);
});

it('both stages of Robust Bird compute with the kernels of the first', async () => {
  const saveDir = newFolder();
  const { dataset, arch, width, batchSize, trainStep, testStep } = resolveConfig({ ...small, saveDir });
  const given = {
    dataset,
    arch,
    width,
    batchSize,
    trainStep,
    testStep,
    pruning: 'unstructured',
    density: 0.3,
    stage1: 'sgd',
    stage2: 'sgd',
    epochs1: 1,
    epochs2: 1,
  } as const;
  const stages = (resume: boolean, shouldStop: () => boolean) =>
    trainRobustBird(resolveRobustBird({ ...given, saveDir, resume }), { shouldStop }, { device, data });
  expect(await stages(false, () => true)).toEqual({ interrupted: true });
  const first = kernels(`${saveDir}_stage1`);
  useChoices(device, new Map());
  expect((await stages(true, () => false)).interrupted).toBe(false);
  expect(kernels(`${saveDir}_stage2`)).toBe(first);
  expect(choicesOf(device).size).toBe(0);
});
