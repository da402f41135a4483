/** `sparrow robust-bird` as a user meets it: its JSON, what the other commands make of a pruned checkpoint, and wrong usage. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/data/files.ts';
import type { RobustBirdResult } from '../../src/train/api.ts';

const bin = inject('command');
const folder = mkdtempSync(join(tmpdir(), 'sparrow-robust-bird-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  code: number;
  stdout: string;
  /** Of stderr, without progress and what lavapipe's driver makes Dawn say. */
  lines: string[];
}

function sparrow(...args: string[]): Promise<Outcome> {
  return new Promise(resolve => {
    execFile(process.execPath, [bin, ...args], (error, stdout, stderr) => {
      const lines = stderr.split('\n').filter(line => line && !/^(epoch |stage |Warning: maxDynamic)/.test(line));
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, lines });
    });
  });
}

const network = ['--dataset', 'shapes', '--arch', 'resnet8', '--width', '4'];
const quick = [...network, '--batch-size', '8', '--limit', '16', '--eval-limit', '4', '--test-step', '1'];
const stages = ['--stage1', 'sgd', '--epochs1', '1', '--stage2', 'fast', '--epochs2', '1', '--density', '0.5'];
const saveDir = join(folder, 'rb');
const checkpoint = `${saveDir}_stage2/checkpoint.safetensors`;
let result: RobustBirdResult;
let trained: Outcome;

beforeAll(async () => {
  // the underscores of old scripts
  const args = ['robust-bird', ...quick, ...stages, '--pruning', 'channel', '--save_dir', saveDir, '--json'];
  trained = await sparrow(...args);
  result = JSON.parse(trained.stdout);
});

describe('a run', () => {
  it('prints its result as one JSON object, and what it does on stderr', () => {
    expect(trained.code).toBe(0);
    expect(result).toMatchObject({ stage1: 'sgd', mode: 'fast', pruning: 'channel', ticket: { emerged: false, epoch: 0 } });
    expect(trained.lines).toEqual([
      'sparrow: stage 1: sgd until the ticket emerges, 1 epochs at most',
      expect.stringMatching(/^first step done after /),
      'sparrow: no ticket emerged in 1 epochs: the network of the last is pruned',
      'sparrow: stage 2: fast with 28 of 56 channels, 1 epochs',
      expect.stringMatching(/^first step done after /),
    ]);
  });

  it('continues where it is complete: the same result at once', async () => {
    const args = ['robust-bird', ...quick, ...stages, '--pruning', 'channel', '--save-dir', saveDir, '--resume'];
    const { code, stdout } = await sparrow(...args);
    expect([code, stdout.split('\n').at(-2)]).toEqual([0, 'pruned: no ticket, epoch 0 of stage 1, 28 of 56 channels kept']);
  });
});

describe('a pruned checkpoint', () => {
  it('is scored by eval, and by train --eval', async () => {
    const attack = ['--attack', 'pgd-1', '--limit', '4', '--json'];
    const { stdout } = await sparrow('eval', '--checkpoint', checkpoint, ...attack);
    expect(JSON.parse(stdout)).toMatchObject({
      n: 4,
      sa: result.final.testSa,
      attacks: { 'pgd-1': { ra: result.final.testRa } },
    });
    const scored = await sparrow('train', ...quick, '--eval', '--pretrained', checkpoint, '--json');
    expect(JSON.parse(scored.stdout)).toMatchObject({ n: 4, sa: result.final.testSa });
  });

  it('is inspected: its widths, its weights and its work are those that are left', async () => {
    const { stdout } = await sparrow('inspect', checkpoint, '--json');
    const { widths, weights, flops, density } = JSON.parse(stdout);
    expect(Object.values<number>(widths).reduce((a, b) => a + b)).toBe(28);
    expect([weights / 5036, density]).toEqual([result.density, 1]);
    expect(flops.dense).toBe(result.flops.inferenceReal);
    expect((await sparrow('inspect', checkpoint)).stdout).toMatch(/^resnet8, width 4, channels pruned, shapes /);
  });

  it('is trained further by train --init', async () => {
    const [saveDir, args] = [join(folder, 'further'), ['train', ...quick, '--mode', 'sgd', '--epochs', '1']];
    expect((await sparrow(...args, '--init', checkpoint, '--save-dir', saveDir)).code).toBe(0);
    const widths = (path: string) => readSafetensors(path).metadata.widths;
    expect(widths(join(saveDir, 'checkpoint.safetensors'))).toBe(widths(checkpoint));
  });

  it('with widths that the network cannot have is refused in one line', async () => {
    const { tensors, metadata } = readSafetensors(checkpoint);
    const wrong = join(folder, 'wrong.safetensors');
    for (const [widths, message] of [
      [metadata.widths.replace(/conv1=\d+/, 'conv1=77'), 'its widths give conv1 77 channels, where 1 to 4 are possible'],
      ['nonsense', "its widths name 'nonsense', which is no layer of this network"],
    ]) {
      writeSafetensors(wrong, tensors, { ...metadata, widths });
      const { code, lines } = await sparrow('eval', '--checkpoint', wrong);
      expect([code, lines]).toEqual([1, [`sparrow: ${wrong}: ${message}`]]);
    }
  });
});

describe('wrong usage and bad files: one line, and no folder', () => {
  const fresh = join(folder, 'fresh');
  const valid = [...stages, '--pruning', 'channel', '--save-dir', fresh];
  const without = (flag: string) => valid.filter((_, i) => valid[i] !== flag && valid[i - 1] !== flag);
  const plain = join(folder, 'plain.txt');

  it.each<[string, number, string[], RegExp]>([
    [
      'no --stage2',
      2,
      [...quick, ...without('--stage2')],
      /--stage2 is required: training of the ticket: pgd, sgd, fast, trades, mart, awp, free$/,
    ],
    [
      'no --stage1',
      2,
      [...quick, ...without('--stage1')],
      /--stage1 is required: training until the ticket emerges; needed unless/,
    ],
    ['no --pruning', 2, [...quick, ...without('--pruning')], /--pruning is required: .*unstructured, channel$/],
    ['no --save-dir', 2, [...quick, ...without('--save-dir')], /--save-dir is required: DIR_stage1 and DIR_stage2/],
    [
      'no data set',
      2,
      ['--arch', 'resnet8', '--data', 'files', ...valid],
      /--dataset is required: the path 'files' of --data names none/,
    ],
    ['another stage', 2, [...quick, ...valid, '--stage2', 'adam'], /--stage2 must be one of pgd, sgd, fast, .*, got 'adam'$/],
    [
      'a density out of reach',
      2,
      [...quick, ...valid, '--density', '0.01'],
      /--density 0.01 .* the nearest that channel pruning reaches is 0.08929$/,
    ],
    [
      'a stage 1 of another architecture',
      1,
      [...quick, ...without('--stage1'), '--arch', 'vgg11_bn', '--stage1-pretrained', `${saveDir}_stage1/checkpoint.safetensors`],
      /checkpoint.safetensors: arch is resnet8, not vgg11_bn$/,
    ],
    [
      'weights for a stage 1 that there is not',
      2,
      [...quick, ...without('--stage1'), '--stage1-pretrained', checkpoint, '--init', checkpoint],
      /--init and --stage1-pretrained: --init is what stage 1 starts from, and there is none; give one of them$/,
    ],
    [
      'a stage 1 that was pruned',
      1,
      [...quick, ...without('--stage1'), '--stage1-pretrained', checkpoint],
      /checkpoint.safetensors: is pruned already; Robust Bird prunes a dense checkpoint$/,
    ],
    [
      'a stage 1 that is none',
      1,
      [...quick, ...without('--stage1'), '--stage1-pretrained', plain],
      /plain.txt: is not a safetensors file/,
    ],
  ])('%s', async (_, exitCode, args, message) => {
    writeFileSync(plain, 'no checkpoint');
    const { code, lines, stdout } = await sparrow('robust-bird', ...args);
    expect([code, stdout, lines]).toEqual([exitCode, '', [expect.stringMatching(message)]]);
    expect([1, 2].map(stage => existsSync(`${fresh}_stage${stage}`))).toEqual([false, false]);
  });

  it('a damaged distances.json is named when the run is resumed', async () => {
    const file = `${saveDir}_stage1/distances.json`;
    const whole = readFileSync(file);
    writeFileSync(file, '{');
    const args = ['robust-bird', ...quick, ...stages, '--pruning', 'channel', '--save-dir', saveDir, '--resume'];
    const { code, lines } = await sparrow(...args);
    expect([code, lines]).toEqual([1, [expect.stringMatching(/^sparrow: .*distances.json: is not valid JSON/)]]);
    writeFileSync(file, whole);
  });
});
