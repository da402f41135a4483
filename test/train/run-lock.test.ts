/** One process at a time trains in a folder: who is refused, what a killed one leaves, and that no run locks itself out. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { shapes } from '../../src/data/shapes.ts';
import { FileError } from '../../src/errors.ts';
import type { RunHooks } from '../../src/train/api.ts';
import { resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { RunFolder } from '../../src/train/folder.ts';
import { trainRobustBird } from '../../src/train/robust-bird/run.ts';
import { type RobustBirdSettings, resolveRobustBird } from '../../src/train/robust-bird/settings.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const base = mkdtempSync(join(tmpdir(), 'sparrow-run-lock-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const data = shapes({ seed: 3, train: 16, val: 4, test: 4 });
let folders = 0;
const newFolder = () => join(base, `run${folders++}`);

const small = { dataset: 'shapes', arch: 'resnet8', width: 2, batchSize: 8, testStep: 1 } as const;
const run = (settings: Partial<TrainConfig>, hooks: RunHooks = {}) =>
  trainRun(resolveConfig({ ...small, mode: 'sgd', epochs: 1, ...settings }), hooks, { device, data });
const robustBird = (saveDir: string, given: Partial<RobustBirdSettings> = {}, hooks: RunHooks = {}) => {
  const stages = { stage1: 'sgd', epochs1: 1, stage2: 'sgd', epochs2: 1, pruning: 'unstructured', density: 0.3 } as const;
  return trainRobustBird(resolveRobustBird({ ...small, ...stages, saveDir, ...given }), hooks, { device, data });
};
const locks = (path: string) => readdirSync(path, { recursive: true }).filter(name => String(name).endsWith('run.lock'));
const refusal = (path: string) =>
  new FileError(
    `another sparrow (process ${process.pid} on ${hostname()}) is training into ${path}; ` +
      `wait until it is done, or remove ${join(path, 'run.lock')} if it is gone`,
  );

describe('a folder', () => {
  it('is taken once, and goes where it was made for nothing', () => {
    const path = join(newFolder(), 'deep/run');
    const release = new RunFolder(path).lock();
    expect(() => new RunFolder(path).lock()).toThrow(refusal(path));
    release();
    expect(readdirSync(base)).toEqual([]);
  });

  it('stays with what was there, or was saved there', () => {
    const path = newFolder();
    mkdirSync(path);
    new RunFolder(path).lock()();
    expect(readdirSync(path)).toEqual([]);
    const deep = new RunFolder(join(path, 'deep'));
    const release = deep.lock();
    writeFileSync(deep.file('config.json'), '{}');
    release();
    expect(readdirSync(deep.path)).toEqual(['config.json']);
  });
});

it('refuses a second run in its folder, begun anew or resumed, while the first goes on to its end', async () => {
  const saveDir = newFolder();
  const second: Promise<unknown>[] = [];
  const onProgress = () => {
    if (second.length === 0) second.push(...[false, true].map(resume => run({ saveDir, resume }).catch(error => error)));
  };
  expect((await run({ saveDir }, { onProgress })).interrupted).toBe(false);
  expect(await Promise.all(second)).toEqual([refusal(saveDir), refusal(saveDir)]);
  expect(locks(saveDir)).toEqual([]);
});

it('gives the folder back after an error', async () => {
  const saveDir = newFolder();
  const onProgress = () => {
    throw new Error('killed');
  };
  await expect(run({ saveDir }, { onProgress })).rejects.toThrow('killed');
  expect(locks(saveDir)).toEqual([]);
});

it('has all rounds of iterative pruning under the lock of their folder', async () => {
  const saveDir = newFolder();
  const rounds = { saveDir, imp: true, density: 0.5, impRate: 0.5 } as const;
  const tried: Promise<unknown>[] = [];
  const seen = new Set<string>();
  const onProgress = () => {
    const now = locks(saveDir).sort().join();
    if (!seen.has(now)) tried.push(run(rounds).catch(error => error));
    seen.add(now);
  };
  expect((await run(rounds, { onProgress })).interrupted).toBe(false);
  expect([...seen]).toEqual([`${join('round-0', 'run.lock')},run.lock`, 'run.lock']);
  expect(await Promise.all(tried)).toEqual([refusal(saveDir), refusal(saveDir)]);
  expect(locks(saveDir)).toEqual([]);
});

it('has both stages of Robust Bird under the locks of both folders', async () => {
  const saveDir = newFolder();
  const [first, last] = [1, 2].map(stage => `${saveDir}_stage${stage}`);
  const tried: Promise<unknown>[] = [];
  const stages = new Set<string>();
  const onProgress: RunHooks['onProgress'] = ({ label }) => {
    const stage = label.slice(0, 'stage 1'.length);
    if (!stages.has(stage)) tried.push(...[first, last].map(path => run({ saveDir: path }).catch(error => error)));
    if (!stages.has(stage)) tried.push(robustBird(saveDir).catch(error => error));
    stages.add(stage);
  };
  expect((await robustBird(saveDir, {}, { onProgress })).interrupted).toBe(false);
  const each = [refusal(first), refusal(last), refusal(first)];
  expect(await Promise.all(tried)).toEqual([...each, ...each]);
  expect([first, last].map(locks)).toEqual([[], []]);
  expect(await robustBird(saveDir, { resume: true })).toMatchObject({ interrupted: false });
});

it('makes no folder of stage 1 where a checkpoint takes its place', async () => {
  const [trained, saveDir] = [newFolder(), newFolder()];
  await run({ saveDir: trained });
  const stage1Pretrained = join(trained, 'checkpoint.safetensors');
  await robustBird(saveDir, { stage1: undefined, stage1Pretrained });
  expect([existsSync(`${saveDir}_stage1`), locks(`${saveDir}_stage2`)]).toEqual([false, []]);
});

describe('processes', () => {
  const saveDir = join(base, 'processes');
  const children: ChildProcess[] = [];
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  const network = ['--dataset', 'shapes', '--arch', 'resnet8', '--width', '2', '--batch-size', '8', '--limit', '16'];
  const flags = [
    ...network,
    '--eval-limit',
    '4',
    '--mode',
    'sgd',
    '--test-step',
    '1',
    '--epochs',
    '10000',
    '--save-dir',
    saveDir,
  ];
  const start = (...more: string[]) => {
    const child = spawn(process.execPath, [inject('command'), 'train', ...flags, ...more], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.push(child);
    let stderr = '';
    const heard = (part: string) =>
      new Promise<void>((resolve, reject) => {
        child.stderr.on('data', () => stderr.includes(part) && resolve());
        child.on('close', () => reject(new Error(`it ended without '${part}': ${stderr}`)));
      });
    child.stderr.setEncoding('utf8').on('data', text => (stderr += text));
    return { child, heard, ended: once(child, 'close').then(([code]) => ({ code, stderr })) };
  };

  it('refuse each other; one that was killed is resumed at once', async () => {
    const { child, heard, ended } = start();
    await heard('epoch 1  ');
    for (const more of [[], ['--resume']]) {
      const { code, stderr } = await start(...more).ended;
      const { message } = refusal(saveDir);
      expect([code, stderr]).toEqual([1, `sparrow: ${message.replace(`process ${process.pid}`, `process ${child.pid}`)}\n`]);
    }
    child.kill('SIGKILL');
    await ended;
    expect(JSON.parse(readFileSync(join(saveDir, 'run.lock'), 'utf8')).pid).toBe(child.pid);
    const again = start('--resume');
    await again.heard('sparrow: resuming at epoch ');
    again.child.kill('SIGHUP');
    expect((await again.ended).code).toBe(130);
    expect(locks(saveDir)).toEqual([]);
  });
});
