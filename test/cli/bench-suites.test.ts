/** The suites of `sparrow bench` on a device: that they count what they say, and that their shapes are those of bench/torch. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { benchConv } from '../../src/cli/bench/conv.ts';
import { convShapes, shapeName } from '../../src/cli/bench/conv-shapes.ts';
import { benchLaunch } from '../../src/cli/bench/launch.ts';
import { benchLimits } from '../../src/cli/bench/limits.ts';
import { benchNorm } from '../../src/cli/bench/norm.ts';
import { circumstances } from '../../src/cli/bench/record.ts';
import { benchSparse } from '../../src/cli/bench/sparse.ts';
import { benchStep } from '../../src/cli/bench/step.ts';
import { outcomeText } from '../../src/cli/bench/text.ts';
import type { Device } from '../../src/device/index.ts';
import { convShape } from '../../src/tensor/conv.ts';
import { testDevice } from '../engine.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const python = process.env.PYTHON ?? 'python3';
let device: Device;

beforeAll(async () => {
  device = await testDevice();
});

describe('--suite step', () => {
  const tiny = { arch: 'resnet18', width: 1, batchSize: 2, attackSteps: 1, samples: 2 };
  /** Multiply-adds of a PreActResNet-18 of width 1: first layer, stages of 3x3 convolutions with 1x1 shortcuts, classifier. */
  const macs =
    27 * 1024 +
    4 * 9 * 1024 +
    [2, 4, 8].reduce((sum, w, i) => sum + (9 * (w / 2) * w + (w / 2) * w + 27 * w * w) * 4 ** (4 - i), 0) +
    80;

  it('counts operations, dispatches and memory of a dense step', async () => {
    const labels: string[] = [];
    const r = await benchStep(device, { ...tiny, profile: true, onStep: label => labels.push(label) });
    expect(labels).toEqual(['first step', ...Array(2 + tiny.samples + 3).fill('training step')]);
    const seconds = r.timing.median / 1000;
    expect(r.imagesPerSecond).toBeCloseTo(2 / seconds);
    expect(r.gflops.dense / ((2 * macs * (2 * 1 + 3) * 2) / seconds / 1e9)).toBeCloseTo(1, 6);
    expect(r.gflops.real).toBe(r.gflops.dense);
    expect(r.density).toBe(1);
    expect(r.submits).toBe(Math.ceil(r.dispatches / 512));
    expect(r.buffersMade).toBe(0);
    expect(r.firstStepSeconds).toBeGreaterThan(seconds);
    expect(r.peak).toBeGreaterThan(r.live);
    expect(r.held).toBeGreaterThanOrEqual(r.live);
    // every dispatch of a step is in the profile once
    expect(r.profile!.reduce((n, k) => n + k.count, 0)).toBe(r.dispatches);
  });

  it('trains with a mask of the density', async () => {
    const r = await benchStep(device, {
      ...tiny,
      arch: 'resnet8',
      width: 4,
      density: 0.3,
      sparseInit: 'uniform',
      profile: false,
    });
    expect(r.density).toBeCloseTo(0.3, 1);
    expect(r.gflops.real / r.gflops.dense).toBeCloseTo(0.3, 1);
    expect(r.profile).toBeUndefined();
  });
});

it('--suite launch: a replay makes no buffers and leaves the device something to do', async () => {
  const r = await benchLaunch(device, { samples: 2 });
  expect(r.buffersMade).toBe(0);
  expect(r.submits).toBe(Math.ceil(r.dispatches / 512));
  expect(r.host.median).toBeGreaterThan(0);
  expect(r.host.median).toBeLessThan(r.finished.median);
});

it('--suite limits measures every ceiling, and gives its memory back', async () => {
  const before = device.stats.live;
  const limits = await benchLimits(device, { samples: 1 });
  expect(limits.map(l => l.unit)).toEqual(['GFLOP/s', 'GFLOP/s', 'GB/s', 'GB/s', 'GB/s', 'us', 'us']);
  for (const l of limits) expect(l.value).toBeGreaterThan(0);
  expect(device.stats.live).toBe(before);
  const where = { ...circumstances(device.adapter), precision: device.precision };
  const text = outcomeText({ ...where, suite: 'limits', ok: true, limits });
  for (const l of limits) expect(text).toContain(l.title);
});

describe('--suite conv', () => {
  it('pads so that the output has ceil(size/stride) rows', () => {
    for (const z of convShapes('all', 8)) {
      const options = { padding: Math.floor(z.kernel / 2), stride: z.stride };
      const s = convShape([z.n, z.ci, z.size, z.size], [z.co, z.ci, z.kernel, z.kernel], options);
      expect([s.oh, s.ow]).toEqual(Array(2).fill(Math.ceil(z.size / z.stride)));
    }
  });

  it('names every shape differently', () => {
    const names = convShapes('all', 8).map(z => `${shapeName(z)}, batch ${z.n}`);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain('64ch 32², batch 8');
    expect(names).toContain('64→128 32² 1x1 stride 2, batch 8');
  });

  it('measures the three passes of the stages', async () => {
    const shapes = await benchConv(device, { shapes: 'stages', batchSize: 1, samples: 1 });
    expect(shapes.map(s => s.shape)).toEqual(['64ch 32²', '128ch 16²', '256ch 8²', '512ch 4²']);
    for (const { own } of shapes) {
      const flops = 2 * 64 * 64 * 9 * 1024; // each stage has a quarter of the pixels and four times the weights
      expect(own.forward.gflops).toBeCloseTo(flops / own.forward.timing.median / 1e6, 6);
      expect(own.all.gflops).toBeCloseTo((3 * flops) / own.all.timing.median / 1e6, 6);
    }
  });
});

it('--suite sparse measures each density beside dense weights', async () => {
  const shapes = await benchSparse(device, { shapes: '8x8,8-12x4k1s2n3', batchSize: 2, samples: 1 });
  expect(shapes.map(({ sizes }) => [sizes.n, sizes.co, sizes.kernel])).toEqual([
    [2, 8, 3],
    [3, 12, 1],
  ]);
  for (const { rows } of shapes) {
    expect(rows.map(row => row.density)).toEqual([1, 0.5, 0.2, 0.1, 0.05]);
    for (const { timing, ratio } of rows) {
      for (const pass of ['forward', 'inputGradient'] as const)
        expect(ratio[pass]).toBeCloseTo(timing[pass].median / rows[0].timing[pass].median, 9);
    }
  }
  const where = { ...circumstances(device.adapter), precision: device.precision };
  const text = outcomeText({ ...where, suite: 'sparse', ok: true, batchSize: 2, shapes });
  for (const cell of ['8ch 8²', '8→12 4² 1x1 stride 2, batch 3', 'dense', '0.05']) expect(text).toContain(cell);
});

it('--suite norm counts what must be moved, forward and with the gradients', async () => {
  const shapes = await benchNorm(device, { batchSize: 2, samples: 1 });
  expect(shapes.map(s => s.sizes)).toEqual([64, 128, 256, 512].map((c, i) => [2, c, 32 >> i, 32 >> i]));
  for (const { sizes, own } of shapes) {
    const bytes = 4 * sizes.reduce((a, b) => a * b);
    expect(own.forward.gbs).toBeCloseTo((3 * bytes) / own.forward.timing.median / 1e6, 9);
    expect(own.all.gbs).toBeCloseTo((8 * bytes) / own.all.timing.median / 1e6, 9);
  }
});

describe('bench/torch/measure.py', () => {
  it('has the same shapes', () => {
    const text = readFileSync(`${root}bench/torch/measure.py`, 'utf8');
    const rows = [...text.matchAll(/dict\((ci=[^)]*)\)/g)].map(([, fields]) =>
      Object.fromEntries(
        fields
          .split(', ')
          .map(field => field.split('='))
          .map(([key, value]) => [key, Number(value)]),
      ),
    );
    expect(rows.map(row => ({ n: 8, co: row.ci, kernel: 3, stride: 1, ...row }))).toEqual(convShapes('all', 8));
  });

  it.skipIf(spawnSync(python, ['-c', 'import torch']).status !== 0)('measures convolutions and steps', async () => {
    const args = [
      `${root}bench/torch/measure.py`,
      '--quick',
      '--samples',
      '1',
      '--train-step',
      '1',
      '--modes',
      'fp32',
      '--width',
      '1',
    ];
    const stdout = await new Promise<string>((resolve, reject) => {
      execFile(python, args, (error, out) => (error ? reject(error) : resolve(out)));
    });
    const { ceilings, step, conv } = JSON.parse(stdout);
    expect(ceilings.matmulFp32.tflops).toBeGreaterThan(0);
    expect(step.fp32[0]).toMatchObject({ arch: 'resnet18', width: 1, batchSize: 2, trainStep: 1 });
    expect(conv.fp32.map((r: { shape: string }) => r.shape)).toEqual(convShapes('stages', 2).map(shapeName));
  });
});

describe('bench/gpu.sh', () => {
  const out = mkdtempSync(join(tmpdir(), 'sparrow-gpu-'));
  afterAll(() => rmSync(out, { recursive: true }));

  it('records every part that fails, and goes on', () => {
    const env = { ...process.env, SPARROW: 'false', PYTHON: 'false', OUT: out };
    const { status, stderr } = spawnSync('bash', [`${root}bench/gpu.sh`], { env, encoding: 'utf8' });
    expect(status).toBe(0);
    const parts = readFileSync(join(out, 'parts.tsv'), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map(line => line.split('\t'));
    expect(parts.map(([name]) => name)).toEqual([
      'adapters',
      'limits',
      'step-128',
      'conv-8',
      'conv-128',
      'step-512',
      'torch',
      ...['uniform', 'igq'].flatMap(init => [0.2, 0.1, 0.05].map(density => `step-128-${init}-${density}`)),
      'sparse',
      'step-128-f16',
      'step-512-f16',
      'conv-8-f16',
      'conv-128-f16',
      'norm-128',
      'launch',
      'tune',
      'step-128-tuned',
    ]);
    for (const [name, code] of parts) {
      expect(code).toBe('1');
      expect(stderr).toContain(`${name}: failed (1)`);
    }
  });
});
