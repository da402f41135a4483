/** `sparrow inspect` on what a training run leaves: counts and work of every layer, as a table and as JSON. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shapes } from '../../src/data/shapes.ts';
import { layerMacs } from '../../src/nn/macs.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Random } from '../../src/tensor/philox.ts';
import type { TrainResult } from '../../src/train/api.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const bin = fileURLToPath(new URL('../../bin/sparrow.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sparrow-inspect-'));
const file = join(folder, 'checkpoint.safetensors');
const inspect = (...args: string[]) => execFileSync(process.execPath, [bin, 'inspect', ...args], { encoding: 'utf8' });
let result: TrainResult;

beforeAll(async () => {
  const small = { dataset: 'shapes', arch: 'resnet8', width: 2, mode: 'sgd', epochs: 1, testStep: 1 } as const;
  const config = resolveConfig({ ...small, fb: true, density: 0.3, saveDir: folder });
  const outcome = await trainRun(config, {}, { device, data: shapes({ seed: 3, train: 10, val: 2, test: 2 }) });
  if (!outcome.interrupted) result = outcome.result;
});
afterAll(() => rmSync(folder, { recursive: true }));

it('--json: weights, non-zeros, density and FLOPs of every layer and of the whole', () => {
  const { layers, ...total } = JSON.parse(inspect(file, '--json'));
  const model = createModel(
    'resnet8',
    { device, random: new Random(1) },
    { width: 2, classes: 10, mean: [0, 0, 0], std: [1, 1, 1] },
  );
  const macs = layerMacs(device, model, [3, 32, 32]);
  expect(layers.map((l: { name: string }) => l.name).sort()).toEqual([...macs.keys()].sort());
  for (const { name, shape, weights, active, density, masked, flops } of layers) {
    expect(masked).toBe(true);
    expect(shape.reduce((a: number, b: number) => a * b)).toBe(weights);
    expect(density).toBe(active / weights);
    expect(flops).toEqual({ dense: macs.get(name), real: (macs.get(name)! * active) / weights });
  }
  expect(total.flops.dense).toBe(result.flops.inferenceDense);
  expect(total.flops.real).toBeCloseTo(result.flops.inferenceReal, 6);
  expect(total.density).toBeCloseTo(result.density, 12);
  model.dispose();
});

it('as a table', () => {
  const lines = inspect(file).trim().split('\n');
  expect(lines[0]).toBe('resnet8, width 2, shapes (10 classes), after 1 epochs and 1 iterations');
  expect(lines[2].split(/ {2,}/)).toEqual(['layer', 'shape', 'weights', 'active', 'density', 'FLOPs dense', 'at density']);
  const { inferenceDense, inferenceReal } = result.flops;
  expect(lines.at(-1)!.split(/ +/)).toEqual([
    'total',
    '1326',
    String(Math.round(result.density * 1326)),
    result.density.toFixed(4),
    String(inferenceDense),
    inferenceReal.toFixed(0),
  ]);
});
