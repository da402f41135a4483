/** The spelling rules of the command line, and the way from arguments to settings. */
import { Command } from 'commander';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addFlags, givenFlags, normaliseArguments } from '../../src/cli/options.ts';
import { createProgram } from '../../src/cli/program.ts';
import { resolveConfig, type TrainConfig, trainFlags } from '../../src/train/config.ts';
import { flagName } from '../../src/train/flags.ts';

const takesValue = new Set(Object.entries(trainFlags).flatMap(([key, flag]) => (flag.placeholder ? [flagName(key, flag)] : [])));

/** Arguments of `train` as the program parses them, without running anything. */
function parse(argv: string[], environment: NodeJS.ProcessEnv = {}): Partial<TrainConfig> {
  const command = addFlags(new Command('train').exitOverride(), 'All', trainFlags).action(() => {});
  command.parse(
    normaliseArguments(argv, flag => takesValue.has(flag)),
    { from: 'user' },
  );
  const before = process.env.SPARROW_ADAPTER;
  delete process.env.SPARROW_ADAPTER;
  Object.assign(process.env, environment);
  try {
    return givenFlags(command, trainFlags);
  } finally {
    delete process.env.SPARROW_ADAPTER;
    if (before !== undefined) process.env.SPARROW_ADAPTER = before;
  }
}

/** A value for each flag that takes one, as typed and as understood. */
const value: Record<string, fc.Arbitrary<[string, unknown]>> = {
  lr: fc.double({ min: 0, max: 10, noNaN: true }).map(v => [String(v), v]),
  density: fc.double({ min: 1e-6, max: 1, noNaN: true }).map(v => [String(v), v]),
  batchSize: fc.integer({ min: 1 }).map(v => [String(v), v]),
  secondFrequency: fc.integer({ min: 1 }).map(v => [String(v), v]),
  saveDir: fc
    .stringMatching(/^[a-z_.-][a-z_/-]{0,9}$/)
    .filter(v => !v.startsWith('--'))
    .map(v => [v, v]),
  sparseInit: fc.constantFrom(['fixed_ERK', 'erk'], ['ER', 'er'], ['igq', 'igq'], ['uniform', 'uniform']),
  decreasingLr: fc.uniqueArray(fc.integer({ min: 1, max: 999 }), { minLength: 1 }).map(list => {
    const sorted = list.sort((a, b) => a - b);
    return [sorted.join(','), sorted];
  }),
};
const switches = [
  'fb',
  'fbp',
  'fix',
  'dynamicFre',
  'trainRandinit',
  'testRandinit',
  'randinit',
  'augment',
  'shuffle',
  'resume',
] as const;

/** A selection of flags in any order, each in either spelling: the arguments and the settings they mean. */
const commandLine = fc
  .subarray([...Object.keys(value), ...switches])
  .chain(keys => fc.shuffledSubarray(keys, { minLength: keys.length }))
  .chain(keys =>
    fc.tuple(
      ...keys.map(key =>
        fc.record({
          key: fc.constant(key),
          snake: fc.boolean(),
          equals: fc.boolean(),
          value: value[key] ?? fc.constant(undefined),
        }),
      ),
    ),
  )
  .map(choices => {
    const argv: string[] = [];
    const settings: Record<string, unknown> = {};
    for (const { key, snake, equals, value } of choices) {
      const flag = trainFlags[key as keyof TrainConfig];
      const kebab = flagName(key, flag);
      const name = snake ? `--${kebab.slice(2).replaceAll('-', '_')}` : kebab;
      if (value === undefined) argv.push(name);
      else if (equals) argv.push(`${name}=${value[0]}`);
      else argv.push(name, value[0]);
      settings[key] = value === undefined ? flag.given : value[1];
    }
    return { argv, settings };
  });

describe('arguments of train', () => {
  it('mean the same in kebab-case and snake_case, in any order, with values left as they are', () => {
    fc.assert(
      fc.property(commandLine, ({ argv, settings }) => {
        expect(parse(argv)).toEqual(settings);
      }),
    );
  });

  it('know every flag of the table', () => {
    const train = createProgram().commands.find(c => c.name() === 'train')!;
    const known = train.options.map(option => option.long);
    for (const [key, flag] of Object.entries(trainFlags)) expect(known).toContain(flagName(key, flag));
  });

  it('turn the random start off by giving the flag, as the reference does', () => {
    const config = (argv: string[]) => resolveConfig({ dataset: 'shapes', arch: 'resnet18', ...parse(argv) });
    const starts = (argv: string[]) => [config(argv).trainRandinit, config(argv).testRandinit];
    expect(starts([])).toEqual([true, true]);
    expect(starts(['--train_randinit'])).toEqual([false, true]);
    expect(starts(['--test-randinit'])).toEqual([true, false]);
    expect(starts(['--no-randinit'])).toEqual([false, false]);
  });

  it("accept the reference's commands word for word", () => {
    const line =
      '--data data/cifar10 --dataset cifar10 --arch resnet18 --save_dir experiment/fb+ --density 0.2 --dynamic_fre --fbp';
    const wanted = { data: 'data/cifar10', saveDir: 'experiment/fb+', density: 0.2, dynamicFre: true, fbp: true };
    expect(resolveConfig(parse(line.split(' ')))).toMatchObject(wanted);
  });

  it('take the adapter from the environment, unless a flag says otherwise', () => {
    const environment = { SPARROW_ADAPTER: 'lavapipe' };
    expect(parse([], environment)).toEqual({ adapter: 'lavapipe' });
    expect(parse(['--adapter', 'auto'], environment)).toEqual({ adapter: 'auto' });
  });

  it('refuse text that is no number', () => {
    for (const text of ['', ' 1', '0x10', '1e', 'NaN', 'Infinity', '1,5', '١']) {
      expect(() => parse([`--density=${text}`]), text).toThrow('--density must be a number in (0, 1]');
    }
  });
});

describe('spelling', () => {
  it('changes only names of flags', () => {
    const argv = ['a_b', '--save_dir', 'my_run', '--data=a_b/c_d', '-x_y', '--', '--not_a_flag'];
    const wanted = ['a_b', '--save-dir', 'my_run', '--data=a_b/c_d', '-x_y', '--', '--not_a_flag'];
    expect(normaliseArguments(argv, flag => takesValue.has(flag))).toEqual(wanted);
  });

  it('notices a forgotten value', () => {
    for (const argv of [['--data', '--fb'], ['--data'], ['--data', '--', 'x']]) {
      expect(() => normaliseArguments(argv, flag => takesValue.has(flag))).toThrow('--data needs a value');
    }
  });
});
