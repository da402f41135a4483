/**
 * The command line: exit codes, one-line errors, help, and what goes to which stream. `sparrow` runs it as its users do, in a process
 * of its own; `inProcess` runs the same function here, which is quicker, for the many ways of being wrong.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { writeSafetensors } from '../../src/data/files.ts';
import { encodeCheckpoint } from '../../src/train/checkpoint.ts';
import { inProcess, type Outcome } from './in-process.ts';

const bin = fileURLToPath(new URL('../../bin/sparrow.js', import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function sparrow(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise(resolve => {
    execFile(process.execPath, [bin, ...args], { env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr });
    });
  });
}

/** The names of every command, below a group its own: ['data', 'fetch']. */
const everyCommand = createProgram().commands.flatMap(command => [
  [command.name()],
  ...command.commands.map(verb => [command.name(), verb.name()]),
]);

const shapes = ['train', '--dataset', 'shapes', '--arch', 'resnet18', '--save-dir', 'unused'];

describe('wrong usage: exit code 2, one line, nothing on stdout', () => {
  it.each<[string, string[], string, NodeJS.ProcessEnv?]>([
    ['an unknown command', ['trian'], "unknown command 'trian'; did you mean train?"],
    ['a flag out of range', [...shapes, '--density', '1.2'], "--density must be a number in (0, 1], got '1.2'"],
    [
      'a wrong environment variable',
      shapes,
      "environment variable SPARROW_ADAPTER: --adapter must be one of auto, gpu, lavapipe, swiftshader, got 'cuda'",
      { SPARROW_ADAPTER: 'cuda' },
    ],
  ])('%s, in a process of its own', async (_, args, message, env) => {
    expect(await sparrow(args, env)).toEqual({ code: 2, stdout: '', stderr: `sparrow: ${message}\n` });
  });

  it.each<[string, string[], string]>([
    ['an unknown flag', [...shapes, '--densty', '0.2'], "unknown option '--densty'; did you mean --density?"],
    [
      'an unknown flag with underscores',
      [...shapes, '--trainn_eps=3'],
      "unknown option '--trainn-eps=3'; did you mean --train-eps?",
    ],
    ['help of an unknown command', ['help', 'trian'], "unknown command 'trian'; did you mean train?"],
    ['a value for a switch', [...shapes, '--dynamic_fre=yes'], "--dynamic-fre takes no value: leave out '=yes'"],
    [
      'the flags of a swept command without --',
      ['sweep', '--grid', 'seed=1', ...shapes],
      "unknown option '--dataset'; the command that is run, with its flags, stands after --",
    ],
    [
      'an unknown data set',
      ['train', '--dataset', 'mnist'],
      "--dataset must be one of cifar10, cifar100, svhn, tinyimagenet, folder, shapes, got 'mnist'",
    ],
    [
      'an unknown architecture',
      ['train', '--arch', 'lenet'],
      "--arch must be one of resnet18, resnet34, resnet50, resnet101, resnet152, vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn, wideresnet, resnet8, got 'lenet'",
    ],
    ['density 0', [...shapes, '--density', '0'], "--density must be a number in (0, 1], got '0'"],
    ['negative eps', [...shapes, '--train_eps', '-1'], "--train-eps must be a number >= 0, got '-1'"],
    ['batch 0', [...shapes, '--batch-size=0'], "--batch-size must be a whole number >= 1, got '0'"],
    ['NaN', [...shapes, '--lr', 'nan'], "--lr must be a number >= 0, got 'nan'"],
    ['a missing value', ['train', '--data', '--dataset', 'shapes'], '--data needs a value'],
    [
      'a missing required flag',
      ['train', '--arch', 'resnet18'],
      '--dataset is required: data set: cifar10, cifar100, svhn, tinyimagenet, folder, shapes',
    ],
    ['no folder for the run', shapes.slice(0, 5), "--save-dir is required: the run's folder"],
    ['an argument too many', [...shapes, 'now'], "too many arguments for 'train'. Expected 0 arguments but got 1."],
    ['a missing argument', ['inspect'], "missing required argument 'checkpoint'"],
    ['--yes without --install', ['adapters', '--yes'], '--yes goes with --install'],
  ])('%s', async (_, args, message) => {
    expect(await inProcess(args)).toEqual({ code: 2, stdout: '', stderr: `sparrow: ${message}\n` });
  });

  it('no command: the help, on stderr', async () => {
    const { code, stdout, stderr } = await inProcess([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Usage: sparrow <command>');
  });
});

describe('help', () => {
  it('lists the commands and the exit codes', async () => {
    const { code, stdout, stderr } = await sparrow(['--help']);
    expect([code, stderr]).toEqual([0, '']);
    for (const [command] of everyCommand) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    expect(stdout).toMatch(/^Examples:\n {2}sparrow demo$/m);
    expect(stdout).toContain('0 done    1 failed    2 wrong usage    130 interrupted');
  });

  it.each(everyCommand.map(names => [names.join(' ')]))('of %s has examples, and no flag under a wrong heading', async names => {
    const { code, stdout, stderr } = await inProcess([...names.split(' '), '--help']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(new RegExp(`Examples?:\\n(.*\\n)*? +sparrow ${names}`));
    expect(stdout).toContain('Exit codes:');
    const output = /\nOutput:\n((?: .*\n)*)/.exec(stdout)?.[1] ?? '  --json ';
    expect(
      [...output.matchAll(/^ {2}(--\w+) /gm)].filter(([, flag]) => !['--json', '--quiet', '--out', '--profile'].includes(flag)),
    ).toEqual([]);
  });

  it.each(everyCommand.map(names => [names.join(' ')]))('of %s is offered for an unknown flag by one line', async names => {
    const { code, stdout, stderr } = await inProcess([...names.split(' '), '--helpp']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toBe("sparrow: unknown option '--helpp'; did you mean --help?\n");
  });

  it('of a command that takes one attack does not offer several', async () => {
    for (const command of ['attack', 'explain'])
      expect((await inProcess([command, '--help'])).stdout).not.toContain('attacks, separated');
    expect((await inProcess(['eval', '--help'])).stdout).toContain('attacks, separated by commas');
  });
});

describe('inspect', () => {
  const checkpoint = () => join(folder, 'checkpoint.safetensors');
  beforeAll(() => {
    const tensor = (shape: number[], values: number[]) => ({ shape, data: Float32Array.from(values) });
    const bytes = encodeCheckpoint({
      ...{ arch: 'resnet18', dataset: 'shapes', classes: 10, width: 16, epoch: 3, iteration: 30 },
      ...{ history: [], random: null, state: null, momentum: new Map(), fired: new Map(), denseMomentum: new Map() },
      model: new Map([
        ['conv1.weight', tensor([2, 2, 1, 1], [1, 0, 3, 0])],
        ['linear.weight', tensor([2, 3], [1, 2, 3, 4, 5, 6])],
        ['linear.bias', tensor([2], [1, 2])],
      ]),
      masks: new Map([['conv1.weight', tensor([2, 2, 1, 1], [1, 0, 1, 1])]]),
    });
    writeFileSync(checkpoint(), bytes);
  });

  const misfit = /^sparrow: FLOPs are not counted: .*checkpoint.safetensors: does not fit the model: .*\n$/;

  it('prints a table, without FLOPs where the tensors are not those of the architecture', async () => {
    const { code, stdout, stderr } = await inProcess(['inspect', checkpoint()]);
    expect(code).toBe(0);
    expect(stderr).toMatch(misfit);
    expect(stdout.split('\n')).toEqual([
      'resnet18, width 16, shapes (10 classes), after 3 epochs, 30 iterations',
      '',
      'layer     shape  weights  active  density',
      '------  -------  -------  ------  -------',
      'conv1   2x2x1x1        4       3   0.7500',
      'linear      2x3        6       6   1.0000',
      'total                 10       9   0.9000',
      '',
    ]);
  });

  it('prints exactly one JSON object with --json', async () => {
    const { code, stdout, stderr } = await sparrow(['inspect', checkpoint(), '--json']);
    expect(code).toBe(0);
    expect(stderr.replace(/^Warning: maxDynamic.*\n/gm, '')).toMatch(misfit); // Dawn's own lines, when it looks at lavapipe
    expect(JSON.parse(stdout)).toMatchObject({ arch: 'resnet18', epoch: 3, weights: 10, active: 9, density: 0.9 });
    expect(JSON.parse(stdout).layers[0]).toMatchObject({ name: 'conv1.weight', shape: [2, 2, 1, 1], active: 3, masked: true });
  });

  it.each<[string, () => string, RegExp]>([
    ['a missing file', () => join(folder, 'none'), /^sparrow: cannot read .*none: it does not exist\n$/],
    ['a folder', () => folder, /: it is a folder, not a file\n$/],
    [
      'a file of another kind',
      () => {
        writeFileSync(join(folder, 'text'), 'hello, I am a text file');
        return join(folder, 'text');
      },
      /^sparrow: .*text: is not a safetensors file .*\n$/,
    ],
    [
      'a newer format',
      () => {
        writeSafetensors(join(folder, 'newer'), new Map(), { format: 'sparrow', format_version: '7' });
        return join(folder, 'newer');
      },
      /^sparrow: .*newer: has format version 7, .*\n$/,
    ],
  ])('refuses %s with exit code 1', async (_, path, message) => {
    const { code, stdout, stderr } = await inProcess(['inspect', path()]);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
  });
});

it('prints its version', async () => {
  expect((await inProcess(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});
