/** `--profile`: kernels of the whole run with their times, the same numbers trained, and a clear line without timestamps. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { shapes } from '../../src/data/shapes.ts';
import { Device, type KernelTime } from '../../src/device/index.ts';
import { listAdapters } from '../../src/device/platform/node.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const base = mkdtempSync(join(tmpdir(), 'sparrow-profile-'));
afterAll(() => rmSync(base, { recursive: true }));
const data = shapes({ seed: 3, train: 20, val: 4, test: 4 });

async function run(name: string, profile: boolean, on: Device) {
  const saveDir = join(base, name);
  const fixed = { dataset: 'shapes', arch: 'resnet8', width: 2, epochs: 1, batchSize: 10, trainStep: 2, testStep: 1 } as const;
  const notices: string[] = [];
  let kernels: readonly KernelTime[] | undefined;
  const { dispatches } = on.stats;
  await trainRun(
    resolveConfig({ ...fixed, profile, saveDir }),
    {
      onNotice: line => void notices.push(line),
      onProfile: report => void (kernels = report),
    },
    { device: on, data },
  );
  const weights = readFileSync(join(saveDir, 'checkpoint.safetensors'));
  return { notices, kernels, weights, dispatches: on.stats.dispatches - dispatches };
}

it('times every kernel of the run, the slowest first, and changes no bit of it', async () => {
  const plain = await run('plain', false, device);
  const { kernels, weights, dispatches, notices } = await run('profiled', true, device);
  expect([plain.kernels, plain.notices, notices]).toEqual([undefined, [], []]);
  expect(weights.equals(plain.weights)).toBe(true);
  const labels = kernels!.map(k => k.label.split(/[.<]/)[0]);
  for (const name of ['sgd', 'attack_step']) expect(labels).toContain(name);
  expect(labels.some(l => /^norm_(apply|channel)$/.test(l))).toBe(true);
  const timed = kernels!.reduce((n, k) => n + k.count, 0);
  expect(timed).toBeGreaterThan(100);
  expect(timed).toBeLessThanOrEqual(dispatches);
  expect(kernels!.every((k, i) => k.total > 0 && (i === 0 || k.total <= kernels![i - 1].total))).toBe(true);
  expect(device.profiler.enabled).toBe(false);
});

it('says in one line that an adapter has no timestamps, and trains', async () => {
  const { adapter } = (await listAdapters()).find(found => found.kind === device.adapter.kind)!;
  const bare = new Device(await adapter!.requestDevice(), { ...device.adapter, description: 'a bare adapter' });
  const { notices, kernels } = await run('bare', true, bare);
  bare.close();
  expect(notices).toEqual(['--profile: a bare adapter has no timestamps; the run goes on without a profile']);
  expect(kernels).toBeUndefined();
});
