/** `sparrow inspect` on what a training run leaves: counts and work of every layer, as a table and as JSON. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { siCount } from '../../src/cli/table.ts';
import { shapes } from '../../src/data/shapes.ts';
import { encodeChoices, useChoices, type Variant } from '../../src/kernels/choices.ts';
import { type ConvWork, convCandidates, convKey } from '../../src/kernels/conv-choices.ts';
import { layerMacs } from '../../src/nn/macs.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { convShape } from '../../src/tensor/conv.ts';
import { Random } from '../../src/tensor/philox.ts';
import type { TrainResult } from '../../src/train/api.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const bin = inject('command');
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
  expect(layers.map((l: { name: string }) => l.name)).toEqual([...macs.keys()]); // in the network's order
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
  expect(lines[0]).toBe('resnet8, width 2, shapes (10 classes), after 1 epoch, 1 iteration');
  expect(lines[2].split(/ {2,}/)).toEqual(['layer', 'shape', 'weights', 'active', 'density', 'FLOPs dense', 'at density']);
  const { inferenceDense, inferenceReal } = result.flops;
  expect(lines.at(-1)!.split(/ +/)).toEqual([
    'total',
    '1326',
    String(Math.round(result.density * 1326)),
    result.density.toFixed(4),
    ...siCount(inferenceDense).split(' '),
    ...siCount(Math.round(inferenceReal)).split(' '),
  ]);
  expect(lines.slice(4, 9).map(line => line.split(' ')[0])).toEqual([
    'conv1',
    'blocks.0.conv1',
    'blocks.0.conv2',
    'blocks.1.conv1',
    'blocks.1.conv2',
  ]);
});

describe('--plan', () => {
  const plan = (...args: string[]) => JSON.parse(inspect(file, '--plan', '--json', ...args));

  it('says of every pass of every convolution which kernel computes it, at its density', () => {
    const { layers } = JSON.parse(inspect(file, '--json'));
    const { batch, passes, adapter } = plan();
    expect(batch).toEqual([8, 3, 32, 32]);
    expect(adapter.kind).toBe(device.adapter.kind);
    const convolutions = layers.filter((l: { shape: number[] }) => l.shape.length === 4);
    expect(passes.map((p: { layer: string; pass: string }) => `${p.layer} ${p.pass}`).sort()).toEqual(
      convolutions
        .flatMap(({ name }: { name: string }) => ['forward', 'input gradient', 'weight gradient'].map(pass => `${name} ${pass}`))
        .sort(),
    );
    for (const { layer, density, measured, tiles } of passes) {
      expect(density).toBe(convolutions.find((l: { name: string }) => l.name === layer).density);
      expect(measured).toBe(false);
      expect(tiles.length).toBeGreaterThan(0);
    }
  });

  it('takes the choices of the run that the checkpoint lies in', () => {
    const { layer, density } = plan().passes[0];
    const work: ConvWork = { pass: 'weight gradient', shape: convShape([4, 3, 16, 16], [2, 3, 3, 3], { stride: 2, padding: 1 }) };
    const [variant] = convCandidates(device, work) as unknown as Variant[];
    useChoices(device, new Map([[convKey(work), { variant, best: 1, default: 2 }]]));
    writeFileSync(join(folder, 'kernels.json'), encodeChoices(device));
    useChoices(device, new Map());
    const { batch, passes } = plan('--batch-size', '4', '--image-size', '16');
    expect(batch).toEqual([4, 3, 16, 16]);
    const measured = passes.filter((p: { measured: boolean }) => p.measured);
    expect(measured).toEqual([{ layer, pass: 'weight gradient', density, measured: true, tiles: [variant] }]);
    const table = inspect(file, '--plan', '--batch-size', '4', '--image-size', '16').trim().split('\n');
    expect(table[2].split(/ {2,}/)).toEqual(['layer', 'density', 'pass', 'kernel', 'from']);
    expect(table.filter(line => line.endsWith('measured'))).toHaveLength(1);
  });

  it('is that of the adapter that is asked for', () => {
    const { adapter } = plan('--adapter', 'swiftshader');
    expect(adapter.kind).toBe('swiftshader');
  });

  it('is what its flags are for', () => {
    const { status, stderr } = spawnSync(process.execPath, [bin, 'inspect', file, '--batch-size', '4'], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([2, expect.stringContaining('--batch-size has no effect without --plan')]);
  });
});
