/** What bench/gpu.sh leaves behind, as its summary and the page of the bench read it: the results of an H100 as they were printed. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBenchResults } from '../../src/report/benchResults.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const python = process.env.PYTHON ?? 'python3';
const recorded: Record<string, unknown>[] = readFileSync(`${root}bench/results/h100-2026-11-23.jsonl`, 'utf8')
  .trimEnd()
  .split('\n')
  .map(line => JSON.parse(line));
const lines = ['limits', 'step-128', 'torch', 'step-128-uniform-0.2'].map(part => recorded.find(line => line.part === part)!);
const gpu = 'NVIDIA H100 80GB HBM3';

const folder = mkdtempSync(join(tmpdir(), 'sparrow-gpu-'));
const out = join(folder, 'results');
const fileOf = (part: unknown): string => join(out, `${part}.json`);

beforeAll(() => {
  mkdirSync(out);
  for (const { part, gpu: _, ...result } of lines) {
    const { driver: __, ...printed } = result;
    // as measure.py prints, over many lines and with the driver it knows; as `sparrow bench --json`, on one
    writeFileSync(fileOf(part), part === 'torch' ? `${JSON.stringify(result, null, 1)}\n` : `${JSON.stringify(printed)}\n`);
  }
  const parts = [...lines.map(({ part }) => `${part}\t0\t1`), 'launch\t124\t30'];
  writeFileSync(join(out, 'parts.tsv'), `part\texit\tseconds\n${parts.join('\n')}\n`);
  writeFileSync(fileOf('launch'), '{ "suite": "laun');
  writeFileSync(join(folder, 'nvidia-smi'), `#!/bin/sh\necho '${gpu}, 580.159.04'\n`, { mode: 0o755 });
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the page of the bench', () => {
  it('reads one result a file, on one line or on many', () => {
    const [sparrow, torch] = readBenchResults(lines.map(({ part }) => fileOf(part)));
    expect(sparrow.name).toBe('NVIDIA: 580.159.04 580.159.4.0');
    expect(torch.name).toBe(gpu);
    const step = 'resnet18, width 64, batch 128, PGD-10';
    const speeds = (of: typeof torch) =>
      of.rows.step
        .get(step)!
        .passes.get('step')!
        .map(m => [m.contestant, Math.round(m.value)]);
    expect(speeds(sparrow)).toEqual([
      ['Sparrow', 979],
      ['Sparrow, density 0.2, uniform', 1166],
    ]);
    expect(speeds(torch)[0]).toEqual(['PyTorch, TF32 off', 914]);
  });

  it('calls a processor by its threads', () => {
    const { gpu: _, ...torch } = lines[2];
    const file = join(folder, 'cpu.json');
    writeFileSync(file, JSON.stringify({ ...torch, device: 'cpu', threads: 2 }, null, 1));
    expect(readBenchResults([file])[0].name).toBe('CPU, 2 threads');
  });
});

describe.skipIf(spawnSync(python, ['--version']).status !== 0)('the summary', () => {
  it('puts all results into one file, with the name of the GPU for Sparrow and PyTorch', () => {
    const env = { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}` };
    const { status, stdout, stderr } = spawnSync(python, [`${root}bench/torch/summary.py`, out], { env, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain('step-128-uniform-0.2');
    const file = join(out, 'results.jsonl');
    const written = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(written.map(line => JSON.parse(line))).toEqual(lines);
    const [{ name, rows, limits }, ...others] = readBenchResults([file]);
    expect([name, others, limits.length, rows.conv.size]).toEqual([gpu, [], 7, 8]);
  });
});
