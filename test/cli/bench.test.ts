/** `sparrow bench` as its users run it: wrong usage, a kernel against its reference, and steady memory of training. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { kernelNames } from '../../src/cli/bench/kernel.ts';
import { spread } from '../../src/cli/bench/time.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, SPARROW_ADAPTER: 'swiftshader' };
  return new Promise(resolve => {
    execFile(process.execPath, [`${root}bin/sparrow.js`, 'bench', ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr });
    });
  });
}

describe('wrong usage', () => {
  it.each<[string, string[], string]>([
    ['neither', [], 'give either --kernel NAME, --suite NAME or --page FILE.html'],
    ['both', ['--kernel', 'matmul', '--suite', 'conv'], 'give either --kernel NAME, --suite NAME or --page FILE.html'],
    ['an unknown kernel', ['--kernel', 'matmull'], `--kernel must be one of ${kernelNames.join(', ')}, got 'matmull'`],
    [
      'an unknown suite',
      ['--suite', 'speed'],
      "--suite must be one of conv, norm, step, launch, memory, limits, peers, got 'speed'",
    ],
    ['too few steps', ['--suite', 'memory', '--steps', '5'], "--steps must be a whole number >= 6, got '5'"],
    ['a flag of another suite', ['--suite', 'conv', '--steps', '9'], '--steps has no effect with --suite conv'],
    ['a mask for convolutions', ['--suite', 'conv', '--density', '0.1'], '--density has no effect with --suite conv'],
    ['a batch for limits', ['--suite', 'limits', '--batch-size', '4'], '--batch-size has no effect with --suite limits'],
    ['no weights', ['--suite', 'step', '--density', '0'], "--density must be a number in (0, 1], got '0'"],
    ['a mask without density', ['--suite', 'step', '--sparse-init', 'erk'], '--sparse-init has no effect without --density'],
    [
      'an unknown architecture',
      ['--suite', 'step', '--arch', 'alexnet'],
      "--arch must be one of resnet18, resnet34, resnet50, resnet101, resnet152, vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn, wideresnet, resnet8, got 'alexnet'",
    ],
    ['a flag of suites', ['--kernel', 'matmul', '--peers'], '--peers has no effect with --kernel'],
    [
      'a shape with an even kernel',
      ['--suite', 'conv', '--shapes', '64x32,64x32k2'],
      "--shapes must be stages, all, or CI[-CO]xSIZE[kK][sS][nN],... as in 64x32,64-128x32k1s2n128, got '64x32,64x32k2'",
    ],
    ['shapes for batch norm', ['--suite', 'norm', '--shapes', '64x32'], '--shapes has no effect with --suite norm'],
    [
      'a mask beside other libraries',
      ['--suite', 'step', '--peers', '--density', '0.1'],
      '--density has no effect on other libraries: leave out --peers',
    ],
    [
      'another network beside other libraries',
      ['--suite', 'step', '--peers', '--arch', 'resnet8'],
      '--peers has resnet18 only; leave out --arch',
    ],
    ['results without a page', ['--suite', 'conv', 'a.jsonl'], "'a.jsonl' has no effect without --page"],
    ['a page without results', ['--page', 'a.html'], '--page: no results given; name at least one file that --out wrote'],
    ['a page of a suite', ['--page', 'a.html', '--suite', 'conv', 'a.jsonl'], '--suite has no effect with --page'],
  ])('%s', async (_, args, message) => {
    expect(await bench(...args)).toEqual({ code: 2, stdout: '', stderr: `sparrow: ${message}\n` });
  });
});

describe('--kernel', () => {
  it('has cases for every kernel file', () => {
    const files = readdirSync(`${root}src/kernels/wgsl`).map(name => name.replace('.wgsl', ''));
    expect(kernelNames).toEqual(files.filter(name => name !== 'prelude').sort());
  });

  it('checks and times the small cases', async () => {
    const { code, stdout } = await bench('--kernel', 'matmul', '--small', '--samples', '2', '--json', '--quiet');
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ kernel: 'matmul', ok: true, node: process.version, adapter: { kind: 'swiftshader' } });
    expect(result.cases.length).toBeGreaterThan(1);
    for (const { ok, error, tolerance, rate, unit } of result.cases) {
      expect(ok).toBe(true);
      expect(error).toBeGreaterThan(0); // float32 against float64
      expect(error).toBeLessThan(tolerance);
      expect(rate.min).toBeLessThanOrEqual(rate.median);
      expect(rate.median).toBeLessThanOrEqual(rate.max);
      expect(unit).toBe('GFLOP/s');
    }
  });
});

describe('--suite memory', () => {
  it('is steady, and says so', async () => {
    const args = ['--suite', 'memory', '--width', '1', '--batch-size', '2', '--steps', '7', '--train-step', '1'];
    const { code, stdout } = await bench(...args, '--json', '--quiet');
    expect(code).toBe(0);
    const { early, late, ok } = JSON.parse(stdout);
    expect(ok).toBe(true);
    expect([early.step, late.step]).toEqual([5, 7]);
    expect(late.live).toBe(early.live);
    expect(late.buffersMade).toBe(early.buffersMade);
    expect(late.peak).toBeGreaterThan(late.live);
  });
});

describe('--out and --page', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sparrow-bench-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('keeps results as lines, and draws the file', async () => {
    const file = join(folder, 'new', 'results.jsonl');
    for (const what of [
      ['--kernel', 'fill', '--small'],
      ['--suite', 'limits'],
    ])
      expect((await bench(...what, '--samples', '1', '--quiet', '--out', file)).code).toBe(0);
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const results = lines.map(line => JSON.parse(line));
    expect(results.map(({ kernel, suite }) => kernel ?? suite)).toEqual(['fill', 'limits']);
    for (const result of results)
      expect(result).toMatchObject({ webgpu: expect.stringMatching(/^\d+\.\d+/), node: process.version });
    const page = join(folder, 'page.html');
    const { code, stdout } = await bench('--page', page, file);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${page}: 0 results\n` });
    expect(readFileSync(page, 'utf8')).toContain('SwiftShader');
  });

  it('says before the work that the file cannot be written', async () => {
    const { code, stderr } = await bench('--suite', 'memory', '--steps', '100000', '--out', folder);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^sparrow: --out .*: cannot be written \(EISDIR.*\n$/);
  });
});

it('the median of an even number of samples is the mean of the middle two', () => {
  expect(spread([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4, samples: 4 });
  expect(spread([5, 1, 2])).toEqual({ median: 2, min: 1, max: 5, samples: 3 });
});
