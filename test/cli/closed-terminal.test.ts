/** A training whose terminal, or whoever reads its messages, goes away: real processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, inject, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'sparrow-terminal-'));
afterAll(() => rmSync(folder, { recursive: true }));

const network = [
  '--dataset',
  'shapes',
  '--arch',
  'resnet8',
  '--width',
  '2',
  '--batch-size',
  '8',
  '--limit',
  '16',
  '--eval-limit',
  '4',
];
const train = [inject('command'), 'train', ...network, '--mode', 'sgd', '--test-step', '1', '--epochs', '3'];

it('goes on to its end, exit code 0, where nobody reads its messages after the first', async () => {
  const saveDir = join(folder, 'stderr');
  const child = spawn(process.execPath, [...train, '--save-dir', saveDir, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let said = '';
  child.stdout.setEncoding('utf8').on('data', text => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', text => {
    said += text;
    if (said.includes('\n')) child.stderr.destroy();
  });
  expect(await once(child, 'close')).toEqual([0, null]);
  expect(said).not.toContain('epoch 2');
  expect(JSON.parse(stdout).final.epoch).toBe(2);
  expect(existsSync(join(saveDir, 'result.json'))).toBe(true);
});
