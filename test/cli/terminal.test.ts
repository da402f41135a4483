/** What a training command says on stderr of each epoch. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { inProcess, linesOf } from './in-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'sparrow-terminal-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('calls the accuracy of training batches robust only where training is adversarial', async () => {
  const { code, stderr } = await inProcess([
    ...['robust-bird', '--dataset', 'shapes', '--arch', 'resnet8', '--width', '2', '--batch-size', '8', '--limit', '16'],
    ...['--eval-limit', '4', '--test-step', '1', '--stage1', 'sgd', '--epochs1', '1', '--stage2', 'fast', '--epochs2', '1'],
    ...['--pruning', 'unstructured', '--density', '0.5', '--save-dir', join(folder, 'rb')],
  ]);
  const told = linesOf(stderr).filter(line => line.startsWith('epoch 0  train'));
  const [accuracy, scores] = ['[\\d.]+ %', '  val SA .* RA .*  test SA .* RA .*  density'];
  expect([code, told]).toEqual([
    0,
    [
      expect.stringMatching(new RegExp(`^epoch 0  train accuracy ${accuracy}${scores} 1\\.0000$`)),
      expect.stringMatching(new RegExp(`^epoch 0  train RA ${accuracy}${scores} 0\\.\\d{4}$`)),
    ],
  ]);
});
