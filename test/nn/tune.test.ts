/** Tuning a model: each pass that its training meets is measured once, within a budget, and is there for the next device. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { conv2d } from '../../src/autograd/conv.ts';
import { choicesOf, loadChoices, useChoices } from '../../src/kernels/choices.ts';
import { convKey } from '../../src/kernels/conv-choices.ts';
import { Module, Parameter } from '../../src/nn/module.ts';
import { tuneModel } from '../../src/nn/tune.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { fromRef, random, testDevice } from '../engine.ts';

const device = await testDevice();

/** Two convolutions, the second one twice. */
class Net extends Module {
  first = new Parameter(fromRef(device, random([4, 3, 3, 3], 1)));
  second = new Parameter(fromRef(device, random([4, 4, 1, 1], 2)));
  forward(x: Tensor): Tensor {
    return conv2d(conv2d(conv2d(x, this.first, { padding: 1 }), this.second), this.second);
  }
}
const shape = [1, 3, 4, 4];
let model: Net;
let folder: string;
const environment = { ...process.env };

beforeAll(() => {
  model = new Net();
  process.env.SPARROW_TUNE = '';
});
beforeEach(() => {
  useChoices(device, new Map());
  if (folder) rmSync(folder, { recursive: true });
  folder = mkdtempSync(join(tmpdir(), 'sparrow-tune-'));
  process.env.SPARROW_CACHE = folder;
});
afterAll(() => {
  process.env = environment;
  rmSync(folder, { recursive: true });
});

it('measures every pass once, the most work first and weight gradients last, and keeps the results', async () => {
  const seen: string[] = [];
  const onWork = (_: unknown, done: number, total: number) => seen.push(`${done}/${total}`);
  const started = await tuneModel(device, model, shape, { onWork, budget: 0.05 });
  const measured = seen.length;
  expect(measured).toBeLessThan(6);
  const results = await tuneModel(device, model, shape, { onWork });
  expect(results.map(convKey)).toEqual([
    'conv forward [1,3,4,4] * [4,3,3,3], stride 1, padding 1',
    'conv input gradient [1,3,4,4] * [4,3,3,3], stride 1, padding 1',
    'conv forward [1,4,4,4] * [4,4,1,1], stride 1, padding 0',
    'conv input gradient [1,4,4,4] * [4,4,1,1], stride 1, padding 0',
    'conv weight gradient [1,3,4,4] * [4,3,3,3], stride 1, padding 1',
    'conv weight gradient [1,4,4,4] * [4,4,1,1], stride 1, padding 0',
  ]);
  expect(seen).toEqual([0, 1, 2, 3, 4, 5].map(done => `${done}/6`));
  const states = (done: string, rest: string) => results.map((_, i) => (i < measured ? done : rest));
  expect(started.map(r => r.state)).toEqual(states('measured', 'left'));
  expect(results.map(r => r.state)).toEqual(states('known', 'measured'));

  const kept = new Map(results.map(r => [convKey(r), r.choice]));
  expect(choicesOf(device)).toEqual(kept);
  useChoices(device, new Map());
  loadChoices(device);
  expect(choicesOf(device)).toEqual(kept);
  expect(await tuneModel(device, model, shape)).toEqual(results.map(r => ({ ...r, state: 'known', refused: [] })));
  const [first] = await tuneModel(device, model, shape, { again: true, budget: 1e-9 });
  expect(first.state).toBe('left');
});

it('measures nothing where the cache cannot be written', async () => {
  mkdirSync(join(folder, 'kernels.json'));
  const seen: unknown[] = [];
  await expect(tuneModel(device, model, shape, { onWork: work => seen.push(work) })).rejects.toThrow('cannot write');
  expect(seen).toEqual([]);
});
