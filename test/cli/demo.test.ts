/** `sparrow demo` and the folders of its runs: what is replaced there, and what is not. The whole demo takes minutes and is not run. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runDemo } from '../../src/cli/demo.ts';
import { encodeConfig, resolveConfig } from '../../src/train/config.ts';
import { RunFolder } from '../../src/train/folder.ts';
import { inProcess } from './in-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'sparrow-demo-'));
afterAll(() => rmSync(folder, { recursive: true }));

const elsewhere = encodeConfig(resolveConfig({ dataset: 'shapes', arch: 'resnet8', saveDir: 'runs/adversarial', epochs: 200 }));

it.each([
  [
    'a run that is none of the demo',
    'config.json',
    elsewhere,
    '--width was 64, now 8, --limit was not given, now 1280, and 6 more',
  ],
  ['files that are no run', 'notes.txt', 'months of work', 'files that are no run'],
])('refuses a folder with %s, and leaves it', async (_, name, text, found) => {
  const saveDir = join(folder, name);
  const own = join(saveDir, 'adversarial');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, name), text);
  expect(await inProcess(['demo', '--save-dir', saveDir, '--quiet'])).toEqual({
    code: 2,
    stdout: '',
    stderr: `sparrow: ${own} holds something else than a run of this demo (${found}); delete it or move it away, or give another --save-dir\n`,
  });
  expect([readdirSync(saveDir), readdirSync(own)]).toEqual([['adversarial'], [name]]);
  expect(readFileSync(join(own, name), 'utf8')).toBe(text);
});

it('is refused while another one has its folder, and takes the place of one that was killed before its first file', async () => {
  const saveDir = join(folder, 'killed');
  const own = join(saveDir, 'standard');
  mkdirSync(own, { recursive: true });
  const begin = () =>
    runDemo({ saveDir, seed: 1, adapter: process.env.SPARROW_ADAPTER ?? 'auto', gpu: '0' }, { shouldStop: () => true });
  const release = new RunFolder(saveDir).lock();
  await expect(begin()).rejects.toThrow(`is training into ${saveDir}; wait until it is done`);
  const { pid } = spawnSync(process.execPath, ['--version']);
  writeFileSync(join(own, 'run.lock'), JSON.stringify({ pid, host: hostname(), what: 'training', id: '0' }));
  release();
  expect(await begin()).toEqual({ interrupted: true });
  expect(readdirSync(own)).not.toContain('run.lock');
});

it('takes the place of an earlier one, of another seed too, and leaves what else is in its folders', async () => {
  const saveDir = join(folder, 'twice');
  const own = join(saveDir, 'standard');
  const begin = (seed: number) =>
    runDemo({ saveDir, seed, adapter: process.env.SPARROW_ADAPTER ?? 'auto', gpu: '0' }, { shouldStop: () => true });
  mkdirSync(own, { recursive: true });
  expect(await begin(1)).toEqual({ interrupted: true });
  writeFileSync(join(own, 'notes.txt'), 'mine');
  expect(await begin(2)).toEqual({ interrupted: true });
  expect(JSON.parse(readFileSync(join(own, 'config.json'), 'utf8')).seed).toBe(2);
  expect(readFileSync(join(own, 'notes.txt'), 'utf8')).toBe('mine');
});

it('takes the place of a run that an older demo began with other settings, and of no other run in its folder', async () => {
  const saveDir = join(folder, 'older');
  const own = join(saveDir, 'standard');
  mkdirSync(own, { recursive: true });
  const older = resolveConfig({ dataset: 'shapes', arch: 'resnet8', width: 4, epochs: 5, seed: 7, saveDir: own });
  writeFileSync(join(own, 'config.json'), encodeConfig(older));
  writeFileSync(join(saveDir, 'demo.json'), JSON.stringify({ standard: JSON.parse(encodeConfig(older)) }));
  const begin = () =>
    runDemo({ saveDir, seed: 1, adapter: process.env.SPARROW_ADAPTER ?? 'auto', gpu: '0' }, { shouldStop: () => true });
  expect(await begin()).toEqual({ interrupted: true });
  expect(JSON.parse(readFileSync(join(own, 'config.json'), 'utf8')).width).toBe(8);
  expect(JSON.parse(readFileSync(join(saveDir, 'demo.json'), 'utf8')).standard.width).toBe(8);
  writeFileSync(join(own, 'config.json'), elsewhere);
  await expect(begin()).rejects.toThrow(`${own} holds something else than a run of this demo`);
});
