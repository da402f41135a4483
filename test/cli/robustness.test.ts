/** `sparrow eval` and `sparrow attack` on a trained checkpoint: their JSON, the file of images, transfer, seeds, and bad input. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { accuracyTable } from '../../src/cli/commands/eval.ts';
import { readSafetensors, writeSafetensors } from '../../src/data/files.ts';
import { shapes } from '../../src/data/shapes.ts';
import { type EvalSettings, evaluationNotices, resolveEvaluation } from '../../src/train/attack-settings.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';
import { inProcess, inProcessJson, linesOf } from './in-process.ts';

const device = await testDevice();
/** Cases of many gradients, which a software adapter takes long for: with `npm run test:full`. */
const full = process.env.SPARROW_TEST_FULL !== undefined;
const slow = it.skipIf(!full);
const bin = inject('command');
const folder = mkdtempSync(join(tmpdir(), 'sparrow-robustness-'));
const file = join(folder, 'a', 'checkpoint.safetensors');
const other = join(folder, 'b', 'checkpoint.safetensors');
const small = { dataset: 'shapes', arch: 'resnet8', width: 4, mode: 'sgd', testStep: 1, batchSize: 20, lr: 0.1 } as const;

beforeAll(async () => {
  const data = shapes({ train: 400, val: 2, test: 2 });
  for (const [name, seed] of [
    ['a', 1],
    ['b', 2],
  ] as const) {
    // biome-ignore format: two short pairs
    if (name === 'b' && !full) continue; // only transfers need it
    const config = resolveConfig({ ...small, seed, epochs: 2, decreasingLr: [1], saveDir: join(folder, name) });
    await trainRun(config, {}, { device, data });
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  lines: string[];
}

function sparrow(...args: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const out = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', text => (out.stdout += text));
  child.stderr.setEncoding('utf8').on('data', text => (out.stderr += text));
  return new Promise(resolve => {
    child.on('close', code => {
      const lines = out.stderr.split('\n').filter(line => line && !line.startsWith('Warning: maxDynamic'));
      resolve({ code, stdout: out.stdout, lines });
    });
  });
}

/** The same in this process, which is quicker. */
const json = (...args: string[]) => inProcessJson(args);

const evaluate = (...args: string[]) => json('eval', '--checkpoint', file, '--batch-size', '16', ...args);
const weak = ['--eps', '1', '--alpha', '0.25', '--limit', '32'];

describe('eval', () => {
  it('several attacks, as one JSON object of fractions', async () => {
    const result = await evaluate(...weak, '--attack', 'fgsm,pgd-4,cw-4,none');
    expect(Object.keys(result)).toEqual(['n', 'sa', 'attacks']);
    expect(result.n).toBe(32);
    expect(Object.keys(result.attacks)).toEqual(['fgsm', 'pgd-4', 'cw-4']);
    expect(result.sa).toBeGreaterThan(0.2); // it was trained
    for (const attack of Object.values<Record<string, number>>(result.attacks)) {
      expect(Object.keys(attack)).toEqual(['ra', 'seconds']);
      expect(attack.ra).toBeLessThan(result.sa);
      expect(attack.ra * 32).toBe(Math.round(attack.ra * 32));
      expect(attack.seconds).toBeGreaterThan(0);
    }
    // PGD is that of `train --eval`
    const network = ['--dataset', 'shapes', '--arch', 'resnet8', '--width', '4', '--batch-size', '16', '--eval-limit', '32'];
    const scoring = ['--eval', '--pretrained', file, '--test-eps', '1', '--test-gamma', '0.25', '--test-step', '4'];
    const scored = await json('train', ...network, ...scoring);
    expect([scored.sa, scored.attacks['pgd-4'].ra]).toEqual([result.sa, result.attacks['pgd-4'].ra]);
  });

  slow('APGD finds at least what PGD finds; the other splits and L2 are there too', async () => {
    const few = [...weak, '--limit', '12', '--dataset', 'shapes'];
    const { attacks } = await evaluate(...few, '--attack', 'pgd-4,apgd-ce', '--split', 'train');
    expect(attacks['apgd-ce'].ra).toBeLessThanOrEqual(attacks['pgd-4'].ra);
    const l2 = await evaluate('--attack', 'pgd-3', '--norm', 'l2', '--eps', '0.4', '--limit', '12', '--split', 'val');
    expect(l2.attacks['pgd-3'].ra).toBeLessThanOrEqual(l2.sa);
  });

  slow('an ensemble says what survives its stages, and goes on with survivors only', async () => {
    const args = ['eval', '--checkpoint', file, '--limit', '16', '--eps', '16', '--attack', 'aa'];
    const { code, stdout, lines } = await sparrow(...args);
    expect(code).toBe(0);
    const notices = lines.filter(line => line.startsWith('sparrow: '));
    // nothing is left for the stages after the first
    expect(notices).toEqual(
      ['apgd-ce', 'apgd-t', 'fab-t', 'square'].map(part => `sparrow: aa: after ${part} 0 of 16 images survive, RA 0.00 %`),
    );
    const rows = stdout.trim().split('\n');
    expect(rows[0]).toMatch(/^16 images, linf 16\/255 +accuracy +time$/);
    expect(rows.at(-1)).toMatch(/^RA aa +0\.00 % +\d+s$/);
  });

  slow('images crafted on another checkpoint fool less than its own', async () => {
    const own = await evaluate(...weak, '--eps', '2', '--attack', 'pgd-4');
    const transferred = await evaluate(...weak, '--eps', '2', '--attack', 'pgd-4', '--transfer-from', other);
    expect(transferred.sa).toBe(own.sa);
    expect(transferred.attacks['pgd-4'].ra).toBeGreaterThan(own.attacks['pgd-4'].ra);
    const self = await evaluate(...weak, '--eps', '2', '--attack', 'pgd-4', '--transfer-from', file);
    expect(self.attacks['pgd-4'].ra).toBe(own.attacks['pgd-4'].ra);
  });
});

describe('what is said beside the numbers', () => {
  it('the radius, in the units of the flag; none where nothing attacks', () => {
    const heading = (norm: 'linf' | 'l2', eps?: number, attacks = ['fgsm']) => {
      const scores = Object.fromEntries(attacks.map(name => [name, { ra: 0.5, seconds: 1 }]));
      return accuracyTable({ n: 2, sa: 1, attacks: scores }, { norm, eps }).split('\n')[0].split(/ {2,}/)[0];
    };
    expect(heading('linf')).toBe('2 images, linf 8/255');
    expect(heading('linf', 0.03137)).toBe('2 images, linf 0.0314/255');
    expect(heading('l2')).toBe('2 images, l2 0.502');
    expect(heading('l2', 0.5)).toBe('2 images, l2 0.5');
    expect(heading('linf', 8, [])).toBe('2 images');
  });

  it('flags without an effect, and a radius that was meant as a fraction of 1', () => {
    const notices = (given: Partial<EvalSettings>, recraft?: number) =>
      evaluationNotices(given, resolveEvaluation({ checkpoint: file, ...given }), recraft);
    const pgd = { alpha: 1, randinit: false };
    const idle = ['--alpha, --no-randinit: no effect without --attack pgd-N or cw-N'];
    expect(notices({ ...pgd, attack: ['aa', 'fgsm'] })).toEqual(idle);
    for (const name of ['pgd-20', 'cw-3']) expect(notices({ ...pgd, attack: ['aa', name] })).toEqual([]);
    expect(notices({ ...pgd, attack: ['fgsm'] }, 5)).toEqual([]);
    expect(notices({ eps: 0.03137 })).toEqual(['--eps 0.03137 is 0.03137/255; 8/255 is --eps 8']);
    for (const given of [{}, { eps: 0 }, { eps: 1 }, { eps: 0.5, norm: 'l2' }] as const) expect(notices(given)).toEqual([]);
  });

  it('on stderr, before the numbers; nothing with --quiet', async () => {
    const args = ['--checkpoint', file, '--limit', '2', '--attack', 'fgsm', '--eps', '0.1', '--alpha', '1'];
    const { stdout, stderr } = await inProcess(['eval', ...args]);
    expect(stdout).toMatch(/^2 images, linf 0\.1\/255 +accuracy +time\n/);
    expect(linesOf(stderr)).toEqual([
      'sparrow: --alpha: no effect without --attack pgd-N or cw-N',
      'sparrow: --eps 0.1 is 0.1/255; 8/255 is --eps 8',
    ]);
    const out = join(folder, 'quiet.safetensors');
    expect((await inProcess(['attack', '--out', out, ...args, '--quiet'])).stderr).toBe('');
  });
});

it('a checkpoint states the normalisation of its run', () => {
  expect(readSafetensors(file).metadata).toMatchObject({ mean: '0.317,0.317,0.317', std: '0.158,0.158,0.158' });
});

describe('attack', () => {
  const attack = (out: string, ...args: string[]) =>
    json('attack', '--checkpoint', file, '--batch-size', '16', '--out', out, '--limit', '24', ...args);

  it.each(full ? ['pgd-3', 'apgd-ce'] : ['pgd-3'])(
    '%s: images in the ball and in the box, labels, and logits that give its RA',
    async name => {
      const out = join(folder, `${name}.safetensors`);
      const result = await attack(out, '--eps', '2', '--attack', name);
      const { tensors, metadata } = readSafetensors(out);
      const [adv, labels, logits] = ['adv', 'labels', 'logits'].map(key => tensors.get(key)!);
      expect([adv, labels, logits].map(t => [t.dtype, t.shape])).toEqual([
        ['F32', [24, 3, 32, 32]],
        ['I64', [24]],
        ['F32', [24, 10]],
      ]);
      expect(metadata).toMatchObject({ attack: name, norm: 'linf', split: 'test' });
      const clean = shapes({ train: 1, val: 1, test: 24 }).test;
      const pixels = adv.data as Float32Array;
      expect(pixels.every((v, i) => v >= 0 && v <= 1 && Math.abs(v - clean.images[i] / 255) <= 2 / 255 + 1e-6)).toBe(true);
      expect(Array.from(labels.data, Number)).toEqual([...clean.labels]);
      const right = [...clean.labels].filter((y, i) => {
        const z = Array.from((logits.data as Float32Array).subarray(10 * i, 10 * i + 10));
        return z.indexOf(Math.max(...z)) === y;
      });
      expect(right.length / 24).toBe(result.attacks[name].ra);
      expect(result.out).toBe(out);
    },
  );

  slow('the same seed gives the same bytes, another seed others', async () => {
    const bytes = async (seed: string) => {
      const out = join(folder, 'seeded.safetensors');
      await attack(out, '--attack', 'pgd-1', '--seed', seed, '--limit', '4');
      return (readSafetensors(out).tensors.get('adv')!.data as Float32Array).slice();
    };
    const first = await bytes('5');
    expect(await bytes('5')).toEqual(first);
    expect(await bytes('6')).not.toEqual(first);
  });
});

describe('bad input: one line, and no file', () => {
  const plain = join(folder, 'plain.safetensors');
  const damaged = join(folder, 'damaged.safetensors');
  beforeAll(() => {
    const { tensors } = readSafetensors(file);
    writeSafetensors(plain, new Map([...tensors].filter(([name]) => !name.startsWith('momentum.'))));
    writeFileSync(damaged, 'no weights');
  });

  it.each<[string, number, () => string[], RegExp]>([
    ['no checkpoint', 2, () => [], /--checkpoint is required: the checkpoint that is scored$/],
    [
      'an unknown attack',
      2,
      () => ['--checkpoint', file, '--attack', 'pgd'],
      /--attack must be of none, fgsm, pgd-N.*got 'pgd'$/,
    ],
    ['no iterations', 2, () => ['--checkpoint', file, '--attack', 'pgd-0'], /--attack must be of .*got 'pgd-0'$/],
    [
      'an unknown split',
      2,
      () => ['--checkpoint', file, '--split', 'all'],
      /--split must be one of test, val, train, got 'all'$/,
    ],
    ['a negative radius', 2, () => ['--checkpoint', file, '--eps', '-1'], /--eps must be a number >= 0, got '-1'$/],
    ['a missing file', 1, () => ['--checkpoint', join(folder, 'none')], /cannot read .*none: it does not exist$/],
    ['a damaged file', 1, () => ['--checkpoint', damaged], /damaged.safetensors: is not a safetensors file/],
    ['a damaged source', 1, () => ['--checkpoint', file, '--transfer-from', damaged], /damaged.safetensors: is not a/],
    ['another architecture', 1, () => ['--checkpoint', file, '--arch', 'resnet18'], /arch is resnet8, not resnet18$/],
    ['weights without a data set', 2, () => ['--checkpoint', plain], /--dataset is required: .*does not name its data set$/],
    [
      'weights without an architecture',
      1,
      () => ['--checkpoint', plain, '--dataset', 'shapes', '--limit', '2'],
      /plain.safetensors: does not name its architecture: give --arch and --width$/,
    ],
    ['a folder that is missing', 2, () => ['--checkpoint', file, '--dataset', 'cifar10'], /--data is missing: cifar10 needs/],
  ])('%s', async (_, code, args, message) => {
    const out = join(folder, 'bad', 'adv.safetensors');
    for (const command of [['eval'], ['attack', '--out', out]]) {
      const outcome = await inProcess([...command, ...args()]);
      expect(linesOf(outcome.stderr)).toEqual([expect.stringMatching(message)]);
      expect([outcome.code, outcome.stdout]).toEqual([code, '']);
    }
    if (existsSync(join(folder, 'bad'))) expect(readdirSync(join(folder, 'bad'))).toEqual([]);
  });

  it('attack without a place to write, or with two attacks', async () => {
    expect(await inProcess(['attack', '--checkpoint', file])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'sparrow: --out is required: the safetensors file that gets the images\n',
    });
    expect(await inProcess(['attack', '--checkpoint', file, '--attack', 'fgsm,pgd-2', '--out', join(folder, 'x')])).toEqual({
      code: 2,
      stdout: '',
      stderr: "sparrow: --attack takes one attack here, got 'fgsm,pgd-2'\n",
    });
    const nowhere = join(file, 'adv.safetensors');
    expect(await inProcess(['attack', '--checkpoint', file, '--out', nowhere])).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^sparrow: cannot write to folder .*checkpoint.safetensors: a file of that name is in the way\n$/,
      ),
    });
  });

  it.each<[string, string, string]>([
    ['a folder that is there', '', 'it is not a regular file'],
    ['a folder that is not there', '/new/', "that is a folder's name, not a file's"],
  ])('attack that is to write to %s, before anything is read or attacked', async (_, name, why) => {
    const out = folder + name;
    const { code, stderr } = await inProcess(['attack', '--checkpoint', join(folder, 'none'), '--out', out]);
    expect([code, stderr]).toEqual([1, `sparrow: cannot write ${out}: ${why}\n`]);
  });

  it('weights that name nothing, with everything given', async () => {
    const given = ['--dataset', 'shapes', '--arch', 'resnet8', '--width', '4', '--limit', '8', '--attack', 'fgsm'];
    const [named, unnamed] = [
      await json('eval', '--checkpoint', file, ...given),
      await json('eval', '--checkpoint', plain, ...given),
    ];
    expect(unnamed.attacks.fgsm.ra).toBe(named.attacks.fgsm.ra);
  });
});
