/** `sparrow bench` as its users run it: wrong usage, a kernel against its reference, steady memory of training, and tuning. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { kernelNames } from '../../src/cli/bench/kernel.ts';
import { spread } from '../../src/cli/bench/time.ts';
import { unpackSwiftShader } from '../../src/device/platform/swiftshader.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

type Result = { code: number; stdout: string; stderr: string };
const bench = (...args: string[]) => benchIn({}, ...args);

function benchIn(environment: NodeJS.ProcessEnv, ...args: string[]): Promise<Result> {
  const env = { ...process.env, SPARROW_ADAPTER: 'swiftshader', ...environment };
  return new Promise(resolve => {
    execFile(process.execPath, [inject('command'), 'bench', ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr });
    });
  });
}

describe('wrong usage', () => {
  it.each<[string, string[], string]>([
    ['neither', [], 'give one of --kernel NAME, --suite NAME, --tune and --page FILE.html'],
    ['both', ['--kernel', 'matmul', '--suite', 'conv'], 'give one of --kernel NAME, --suite NAME, --tune and --page FILE.html'],
    ['an unknown kernel', ['--kernel', 'matmull'], `--kernel must be one of ${kernelNames.join(', ')}, got 'matmull'`],
    [
      'an unknown suite',
      ['--suite', 'speed'],
      "--suite must be one of conv, norm, step, sparse, launch, memory, limits, peers, got 'speed'",
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
    ['two tasks', ['--tune', '--suite', 'conv'], 'give one of --kernel NAME, --suite NAME, --tune and --page FILE.html'],
    ['a flag of tuning', ['--suite', 'step', '--budget', '9'], '--budget has no effect with --suite step'],
    ['no time to tune', ['--tune', '--budget', '0'], "--budget must be a number > 0, got '0'"],
    ['a flag that tuning has not', ['--tune', '--samples', '3'], '--samples has no effect with --tune'],
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

describe('--suite step', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sparrow-bench-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('says which masks it trained under', async () => {
    const file = join(folder, 'steps.jsonl');
    const tiny = ['--arch', 'resnet8', '--width', '2', '--batch-size', '1', '--train-step', '1', '--samples', '1'];
    const masks = ['--density', '0.3', '--sparse-init', 'erk'];
    const { code, stdout } = await bench('--suite', 'step', ...tiny, ...masks, '--quiet', '--out', file);
    expect(code).toBe(0);
    expect(stdout).toMatch(/resnet8, width 2, density 0\.3\d* \(erk\)/);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ sparseInit: 'erk' });
  });
});

describe('--tune', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sparrow-bench-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'kernels.json');
  const drivers = dirname(unpackSwiftShader()!.icd); // the cache is elsewhere for the test
  const own = { SPARROW_CACHE: folder, SPARROW_DRIVERS: drivers, SPARROW_TUNE: 'on' };
  const tiny = ['--tune', '--arch', 'resnet8', '--width', '1', '--batch-size', '1', '--image-size', '8', '--budget', '1'];

  it('measures until its budget ends, and goes on from there', async () => {
    const first = await benchIn(own, ...tiny, '--json', '--quiet');
    expect([first.code, first.stderr]).toEqual([0, '']);
    const { rows, ...rest } = JSON.parse(first.stdout);
    expect(rest).toMatchObject({ tune: true, ok: true, cache: file, arch: 'resnet8', width: 1, batchSize: 1, imageSize: 8 });
    expect(rest).not.toHaveProperty('sparseInit');
    const measured = rows.filter((row: { state: string }) => row.state === 'measured');
    expect(rows[0]).toMatchObject({ pass: 'forward', state: 'measured', refused: [] });
    for (const row of measured) expect(row.best).toBeLessThanOrEqual(row.default);
    expect(measured.length).toBeLessThan(rows.length);

    const second = await benchIn(own, ...tiny, '--quiet');
    expect(second.code).toBe(0);
    expect(second.stdout).toMatch(new RegExp(`; ${measured.length} kernels chosen by measuring\\n`));
    const found = /(\d+) measured in \d+ s, (\d+) known from before, (\d+) left when the time was used up.*; kept in (.*)/.exec(
      second.stdout,
    );
    const [now, known, left] = found!.slice(1, 4).map(Number);
    expect([known, now + known + left]).toEqual([measured.length, rows.length]);
    expect(found![4]).toBe(file);
    const kept = JSON.parse(readFileSync(file, 'utf8'));
    expect(Object.keys(Object.values(kept.adapters)[0] as object)).toHaveLength(known + now);
  });

  it('says which masks the weights were under', async () => {
    const cache = { ...own, SPARROW_CACHE: join(folder, 'masked') };
    const { code, stdout } = await benchIn(cache, ...tiny, '--density', '0.3', '--sparse-init', 'er', '--json', '--quiet');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ density: 0.3, sparseInit: 'er' });
  });

  it('a cache that cannot be read costs one line, and none with SPARROW_TUNE=off', async () => {
    writeFileSync(file, '{ "version": 1, "adap');
    const work = ['--kernel', 'fill', '--small', '--samples', '1', '--quiet'];
    const { code, stderr } = await benchIn(own, ...work);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^sparrow: .*kernels\.json: is not valid JSON .*; kernels run with their defaults until it is deleted or tuned anew\n$/,
    );
    expect(await benchIn({ ...own, SPARROW_TUNE: 'off' }, ...work)).toMatchObject({ code: 0, stderr: '' });
    const wrong = await benchIn({ ...own, SPARROW_TUNE: 'of' }, ...work);
    expect(wrong).toEqual({
      code: 2,
      stdout: '',
      stderr: "sparrow: environment variable SPARROW_TUNE must be on or off, got 'of'\n",
    });
  });

  it('does not begin where it cannot keep what it measures', async () => {
    const { code, stdout, stderr } = await benchIn({ ...own, SPARROW_CACHE: file }, ...tiny, '--quiet');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^sparrow: cannot write .*; set SPARROW_CACHE to a folder that can be written\n$/);
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
