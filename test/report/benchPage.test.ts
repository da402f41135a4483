/** The page of the bench: what a result becomes, how lines are brought together, and what cannot be read. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { renderBench, writeBenchPage } from '../../src/report/benchPage.ts';
import { readBenchResults } from '../../src/report/benchResults.ts';
import { ceilingsOf, convIntensity, roofAt } from '../../src/report/roof.ts';
import { attribute, parsePage, textOf } from './html.ts';

const folder = mkdtempSync(join(tmpdir(), 'sparrow-bench-page-'));
afterAll(() => rmSync(folder, { recursive: true }));
const h100 = fileURLToPath(new URL('../../bench/results/h100-2026-11-23.jsonl', import.meta.url));

const adapter = { kind: 'lavapipe', description: 'llvmpipe <1>' };
const where = { adapter, node: 'v20.11.0', commit: 'abc', date: '2026-01-02T03:04:05Z', precision: 'f32', ok: true };
const timing = (median: number) => ({ median, min: median / 2, max: 2 * median, samples: 3, runs: 1 });
const rates = (gflops: number) =>
  Object.fromEntries(['forward', 'inputGradient', 'weightGradient', 'all'].map(pass => [pass, { gflops, timing: timing(1) }]));
const ratio = (median: number) => Object.fromEntries(['forward', 'weightGradient', 'all'].map(pass => [pass, { median }]));
const sizes = (ci: number, n = 8) => ({ n, ci, co: ci, size: 8, kernel: 3, stride: 1 });
const limits = [
  { title: 'multiply-adds, a*b + c', unit: 'GFLOP/s', value: 50 },
  { title: 'multiply-adds, fma()', unit: 'GFLOP/s', value: 40 },
  { title: 'storage, read 64 MiB', unit: 'GB/s', value: 10 },
  { title: 'storage, copy 64 MiB', unit: 'GB/s', value: 30 },
];
const conv = {
  ...where,
  suite: 'conv',
  limits,
  shapes: [
    {
      shape: '64ch 8²',
      sizes: sizes(64),
      own: rates(20),
      peers: [
        { name: 'jax-js', version: '0.1.25', rates: rates(5), ratio: ratio(4.125) },
        { name: 'tfjs', version: '4.22.0', error: 'out of <memory>' },
      ],
    },
  ],
};

let files = 0;
function fileOf(...lines: object[]): string {
  const file = join(folder, `${++files}.jsonl`);
  writeFileSync(file, lines.map(line => `${JSON.stringify(line)}\n`).join(''));
  return file;
}
const elements = (page: string, tag: string) => parsePage(page).elements.filter(({ tagName }) => tagName === tag);

describe('the roofline', () => {
  it('is the lower of bandwidth and arithmetic', () => {
    const ceilings = ceilingsOf(limits)!;
    expect(ceilings).toEqual({ gflops: 50, gbs: 10 });
    expect(roofAt(ceilings, 2)).toBe(20);
    expect(roofAt(ceilings, 5)).toBe(50);
    expect(roofAt(ceilings, 100)).toBe(50);
    expect(ceilingsOf(limits.slice(0, 2))).toBeUndefined();
  });

  it('counts each operand and the result of a convolution once', () => {
    // 2·2·3·3·2·2 operations on 4 pixels, 9 weights and 4 pixels of 4 bytes
    expect(convIntensity({ n: 1, ci: 1, co: 1, size: 2, kernel: 3, stride: 1 })).toBeCloseTo(72 / (4 * 17), 12);
    expect(convIntensity({ n: 2, ci: 1, co: 3, size: 3, kernel: 1, stride: 2 })).toBeCloseTo(48 / (4 * (18 + 3 + 24)), 12);
  });
});

describe('results in several files', () => {
  it('come together by adapter, and the later of the same replaces the earlier', () => {
    const second = { ...conv, commit: 'def', shapes: [{ shape: '64ch 8²', sizes: sizes(64), own: rates(30) }] };
    const third = { ...conv, precision: 'f16', shapes: [{ shape: '64ch 8²', sizes: sizes(64, 2), own: rates(90) }] };
    const elsewhere = { ...conv, adapter: { kind: 'gpu', description: '' } };
    const found = readBenchResults([fileOf(conv, second), fileOf(third, elsewhere, { suite: 'launch', ...where })]);
    expect(found.map(a => a.name)).toEqual(['llvmpipe <1>', 'gpu']);
    const [{ rows, facts, failures, ceilings }] = found;
    expect([...rows.conv.keys()]).toEqual(['64ch 8², batch 8', '64ch 8², batch 2']);
    const measures = rows.conv.get('64ch 8², batch 8')!.passes.get('all')!;
    expect(measures.map(m => [m.contestant, m.value, m.ratio])).toEqual([
      ['jax-js', 5, 4.125],
      ['Sparrow', 30, undefined],
    ]);
    expect(measures[0]).toMatchObject({ low: 2.5, high: 10 });
    expect(
      rows.conv
        .get('64ch 8², batch 2')!
        .passes.get('all')!
        .map(m => m.contestant),
    ).toEqual(['Sparrow f16']);
    expect([...facts.get('commit')!]).toEqual(['abc', 'def']);
    expect([...facts.get('tfjs')!]).toEqual(['4.22.0']);
    expect([...failures]).toEqual([['tfjs, 64ch 8², batch 8', 'out of <memory>']]);
    expect(ceilings).toEqual({ gflops: 50, gbs: 10 });
  });

  it('a suite of suites counts as its parts', () => {
    const { adapter: _, ...part } = conv;
    const step = {
      suite: 'step',
      arch: 'resnet18',
      width: 4,
      batchSize: 8,
      trainStep: 10,
      density: 1,
      timing: timing(2000),
      peers: [{ name: 'jax-js', version: '0.1.25', timing: timing(8000), ratio: { median: 4, min: 3, max: 5 } }],
    };
    const norm = {
      suite: 'norm',
      shapes: [{ shape: '64ch 32²', sizes: [8, 64, 32, 32], own: { all: { gbs: 3, timing: timing(1) } } }],
    };
    const [{ rows }] = readBenchResults([fileOf({ ...where, suite: 'peers', parts: [part, norm, step] })]);
    expect([...rows.norm.keys()]).toEqual(['64ch 32², batch 8']);
    const steps = rows.step.get('resnet18, width 4, batch 8, PGD-10')!.passes.get('step')!;
    expect(steps.map(m => [m.contestant, m.value, m.ratio])).toEqual([
      ['Sparrow', 4, undefined],
      ['jax-js', 1, 4],
    ]);
  });

  it('tell masks of one density apart, and take those of another last digit for others where they have no name', () => {
    const step = { ...where, suite: 'step', arch: 'resnet18', width: 4, batchSize: 8, trainStep: 10, timing: timing(2000) };
    const uniform = { density: 0.2000008, sparseInit: 'uniform' };
    const igq = { density: 0.2000009, sparseInit: 'igq' };
    const lines = [uniform, igq, igq, { density: 0.2000009 }, { density: 0.2000008 }, { density: 0.2000009 }, { density: 1 }];
    const [{ rows }] = readBenchResults([fileOf(...lines.map(masks => ({ ...step, ...masks })))]);
    const steps = [...rows.step.values()].flatMap(row => row.passes.get('step')!);
    expect(steps.map(m => m.contestant)).toEqual([
      'Sparrow, density 0.2, uniform',
      'Sparrow, density 0.2, IGQ',
      'Sparrow, density 0.2, masks 2',
      'Sparrow, density 0.2',
      'Sparrow',
    ]);
  });

  it('tell kernels chosen by measuring from the defaults, and note what PyTorch could not do', () => {
    const tuned = { ...conv, measuredKernels: 7, shapes: [{ shape: '64ch 8²', sizes: sizes(64), own: rates(30) }] };
    const failed = { failed: 'conv amp batch 8 64ch 8²', error: 'CUDA out of memory' };
    const torch = {
      torch: '2.11.0',
      gpu: adapter.description,
      conv: { fp32: tuned.shapes, amp: [failed] },
    };
    const [{ rows, failures }] = readBenchResults([fileOf(conv, tuned, torch)]);
    const measures = rows.conv.get('64ch 8², batch 8')!.passes.get('all')!;
    expect(measures.map(m => [m.contestant, m.value])).toEqual([
      ['Sparrow', 20],
      ['jax-js', 5],
      ['Sparrow, tuned', 30],
      ['PyTorch, TF32 off', 30],
    ]);
    expect(failures.get('PyTorch, conv amp batch 8 64ch 8²')).toBe('CUDA out of memory');
  });

  it('forget what PyTorch could not do once it could, and nothing else', () => {
    const failed = (label: string) => ({ failed: label, error: 'CUDA out of memory' });
    const labels = ['conv amp batch 8 64ch 8²', 'conv amp batch 128 64ch 8²', 'step amp batch 512', 'step fp32 batch 512'];
    const torch = { torch: '2.11.0', gpu: 'a GPU' };
    const first = {
      ...torch,
      conv: { amp: labels.slice(0, 2).map(failed) },
      step: { amp: [failed(labels[2])], fp32: [failed(labels[3])] },
    };
    const shapes = [{ shape: '64ch 8²', sizes: sizes(64), own: rates(30) }];
    const step = { arch: 'resnet18', width: 64, batchSize: 512, trainStep: 10, timing: timing(500) };
    const second = { ...torch, conv: { amp: shapes }, step: { amp: [step] } };
    const failures = (...lines: object[]) => [...readBenchResults([fileOf(...lines)])[0].failures.keys()];
    expect(failures(second, first)).toEqual(labels.map(label => `PyTorch, ${label}`));
    expect(failures(first, second)).toEqual([`PyTorch, ${labels[1]}`, `PyTorch, ${labels[3]}`]);
  });

  it('name the line that cannot be read', () => {
    const broken = join(folder, 'broken.jsonl');
    writeFileSync(broken, `${JSON.stringify(conv)}\n\n{"suite":\n`);
    expect(() => readBenchResults([broken])).toThrow(/^broken\.jsonl, line 3: is not JSON/);
    const other = fileOf({ ...where, suite: 'conv', shapes: [{ shape: 'x' }] });
    expect(() => readBenchResults([other])).toThrow(/\.jsonl, line 1: is no result of sparrow bench/);
    expect(() => writeBenchPage([fileOf({ hello: 1 })], join(folder, 'none.html'))).toThrow(/nothing to draw/);
  });
});

describe('the page', () => {
  const page = renderBench(readBenchResults([fileOf(conv)]));

  it('is whole, and needs nothing else', () => {
    expect(parsePage(page).errors).toEqual([]);
    expect(page).not.toMatch(/(src|href)="(?!data:|#)/);
  });

  it('draws bars as long as their values, on one scale', () => {
    const [all] = elements(page, 'svg');
    expect(textOf(all)).toContain('64ch 8², batch 8');
    expect(textOf(all)).toContain('5 (4.1x)');
    // each with the symbol that its name has in the legend
    const [inLegend, atBars] = [
      /<path d="([^"]*)"[^>]*><\/path><text[^>]*>([^<]*)</g,
      /<title>([^<:]*): [^<]*<\/title><path d="([^"]*)"/g,
    ];
    const legend = new Map([...page.matchAll(inLegend)].map(([, shape, name]) => [name, shape]));
    const marks = [...page.matchAll(atBars)].filter(([, name]) => legend.has(name));
    expect(marks.length).toBe(2 * 4);
    for (const [, name, shape] of marks) expect(shape, name).toBe(legend.get(name));
    const widths = elements(page, 'rect').map(rect => Number(attribute(rect, 'width')));
    expect(widths).toHaveLength(2 * 4); // four figures
    for (let i = 0; i < widths.length; i += 2) expect(widths[i] / widths[i + 1]).toBeCloseTo(4, 1);
  });

  it('says where the others come nearest, what failed, and the share of the roof', () => {
    const text = parsePage(page)
      .elements.filter(e => e.tagName === 'main')
      .map(textOf)
      .join(' ')
      .replaceAll('\u00A0', ' ');
    expect(text).toContain('jax-js takes 4.1x the time of Sparrow.');
    expect(text).toContain('out of <memory>');
    const share = (100 * 20) / roofAt({ gflops: 50, gbs: 10 }, convIntensity(sizes(64)));
    expect(text).toContain(`${share.toFixed(0)} %`);
  });

  it('has only what computes in f32 under the roof, and names the others', () => {
    const own = { sizes: sizes(64), own: rates(400) };
    const half = { ...conv, precision: 'f16', shapes: [{ shape: '64ch 8²', ...own, peers: conv.shapes[0].peers.slice(0, 1) }] };
    const modes = Object.fromEntries(['fp32', 'default', 'amp'].map(mode => [mode, [{ shape: '64ch 8²', ...own }]]));
    const torch = { torch: '2.11.0', gpu: adapter.description, conv: modes };
    const drawn = renderBench(readBenchResults([fileOf(conv, half, torch)]));
    const under = [...drawn.matchAll(/<title>([^<:]*), 64ch 8², batch 8: [^<]* % of the roof</g)].map(([, name]) => name);
    expect(new Set(under)).toEqual(new Set(['Sparrow', 'jax-js', 'PyTorch, TF32 off']));
    const words = elements(drawn, 'desc')
      .map(textOf)
      .find(text => text.startsWith('At most'))!;
    for (const name of under)
      expect(words).toMatch(new RegExp(`[.;] ${name}, 64ch 8², batch 8: [\\d.]+ GFLOP/s, \\d+ % of the roof`));
    const [note] = elements(drawn, 'p')
      .map(textOf)
      .filter(text => text.startsWith('Not under the roof'));
    expect(note).toContain(': Sparrow f16, PyTorch defaults, PyTorch AMP. ');
    expect(page).not.toContain('Not under the roof');
  });

  it('draws the results of the H100 beside PyTorch', () => {
    const out = join(folder, 'h100.html');
    expect(writeBenchPage([h100], out)).toBe(14);
    const written = readFileSync(out, 'utf8');
    expect(parsePage(written).errors).toEqual([]);
    for (const name of ['Sparrow f16', 'PyTorch, TF32 off', 'PyTorch AMP']) expect(written).toContain(name);
    // images a second at batch 128, of both masks
    for (const bar of ['density 0.2, uniform: 1\u202F166', 'density 0.2, IGQ: 1\u202F116', 'density 0.05, uniform: 1\u202F785'])
      expect(written).toContain(`Sparrow, ${bar}`);
  });
});
