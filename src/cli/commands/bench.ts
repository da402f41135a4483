/** `sparrow bench`: kernels against their references, and measurements of speed and memory. */
import type { Command } from 'commander';
import { SparrowError, UsageError } from '../../errors.ts';
import { initialisers } from '../../sparse/densities.ts';
import { modelFlags, optimiserFlags, runFlags } from '../../train/config.ts';
import { checkSettings, choice, flagName, integer, number, text, toggle, withDefaults } from '../../train/flags.ts';
import type { BenchOptions, BenchOutcome } from '../bench/run.ts';
import { outcomeText } from '../bench/text.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';

const examples = `
Examples:
  One kernel against its reference, and its speed; edit src/kernels/wgsl/matmul.wgsl and run it again:
    sparrow bench --kernel matmul
  Convolutions of a ResNet-18, in turns with jax-js on the same adapter:
    npm ci --prefix bench/peers
    sparrow bench --suite conv --peers
  One adversarial training step of a ResNet-18, with the time of each kernel; then with a tenth of its weights:
    sparrow bench --suite step --profile
    sparrow bench --suite step --density 0.1
  What the adapter can do at most:
    sparrow bench --suite limits
  Measure which kernels train a ResNet-18 fastest here, and keep that for later runs of this batch size:
    sparrow bench --tune --arch resnet18 --width 64 --batch-size 8 --budget 300
  Memory of adversarial training, after 5 steps and after 50:
    sparrow bench --suite memory --width 16 --batch-size 32`;

/** What is measured. */
const whatFlags = {
  kernel: text({ help: 'run src/kernels/wgsl/NAME.wgsl against its reference', default: undefined, placeholder: 'NAME' }),
  tune: toggle({ help: "measure the variants of a model's convolutions on this adapter and keep the fastest for later runs" }),
  suite: choice(['conv', 'step', 'launch', 'memory', 'limits'], { help: 'run a suite', default: undefined }),
};

const howFlags = {
  small: toggle({ help: '--kernel: leave the large sizes out' }),
  samples: integer({
    help: 'timed samples, each of several runs or one step',
    default: undefined,
    defaultText: '9, step 5',
    min: 1,
  }),
  batchSize: integer({
    help: 'images of a batch',
    default: undefined,
    defaultText: 'conv 8, memory 32, step and --tune 128 on a GPU, else 8',
    min: 1,
  }),
  shapes: choice(['stages', 'all'], {
    help: '--suite conv: convolutions of a ResNet-18 in short, or many more',
    default: 'stages',
  }),
  arch: { ...modelFlags.arch, help: `--suite step, --tune: ${modelFlags.arch.help}`, required: false, default: 'resnet18' },
  width: integer({
    help: '--suite step, memory, --tune: base width of the network',
    default: undefined,
    defaultText: 'step and --tune 64, memory 16',
    min: 1,
  }),
  imageSize: integer({ help: '--tune: height and width of the images', default: 32, min: 1 }),
  budget: number({
    help: '--tune: seconds after which no further measurement begins',
    default: 300,
    above: 0,
    placeholder: 'SECONDS',
  }),
  again: toggle({ help: '--tune: measure again what is known from before' }),
  steps: integer({
    help: '--suite memory: training steps; memory is looked at after step 5 and after the last',
    default: 50,
    min: 6,
  }),
  trainStep: integer({ help: '--suite step, memory: iterations of the training attack', default: 10, min: 1 }),
  density: number({
    help: '--suite step: share of the weights that a random mask keeps',
    default: undefined,
    defaultText: 'dense, no mask',
    above: 0,
    max: 1,
  }),
  sparseInit: choice(initialisers, {
    help: '--density: how it is spread over the layers',
    default: 'igq',
    aliases: { fixed_ERK: 'erk', ERK: 'erk', ER: 'er' },
  }),
  peers: toggle({ help: '--suite conv: take turns with jax-js (bench/peers), which compiles for minutes on a software adapter' }),
  profile: toggle({
    help: '--suite: time on the device by kernel (for step of further steps; else it slows what is timed a little)',
  }),
  adapter: runFlags.adapter,
  gpu: runFlags.gpu,
  precision: optimiserFlags.precision,
};

const benchFlags = { ...whatFlags, ...howFlags };

/** Flags that belong to one kind of run. */
const onlyFor: Readonly<Record<string, (o: Partial<Pick<BenchOptions, 'kernel' | 'suite' | 'tune'>>) => boolean>> = {
  imageSize: o => o.tune === true,
  budget: o => o.tune === true,
  again: o => o.tune === true,
  small: o => o.kernel !== undefined,
  samples: o => o.suite !== 'memory' && !o.tune,
  batchSize: o => o.tune || o.suite === 'conv' || o.suite === 'step' || o.suite === 'memory',
  shapes: o => o.suite === 'conv',
  arch: o => o.tune || o.suite === 'step',
  width: o => o.tune || o.suite === 'step' || o.suite === 'memory',
  steps: o => o.suite === 'memory',
  trainStep: o => o.suite === 'step' || o.suite === 'memory',
  density: o => o.suite === 'step',
  sparseInit: o => o.suite === 'step',
  peers: o => o.suite === 'conv',
  profile: o => o.suite !== undefined,
};

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('kernels against their references; speed and memory of convolutions and training')
    .description(
      'Checks and times one kernel (--kernel), runs a suite (--suite), or chooses kernels by measuring (--tune). Exits with 1 when a check fails.',
    );
  addFlags(command, 'What', whatFlags);
  addFlags(command, 'How', howFlags);
  addOutputOptions(command)
    .option('--save', 'append the result to bench/results/NAME.jsonl of the checkout')
    .addHelpText('after', examples)
    .action(async (output: OutputOptions & { save?: boolean }) => {
      await bench(resolve(givenFlags(command, benchFlags)), output);
    });
}

/** Defaults, and which flags go together. */
function resolve(given: Partial<Record<keyof typeof benchFlags, unknown>>): BenchOptions {
  const settings = withDefaults(benchFlags, given as never);
  checkSettings(benchFlags, settings);
  const { kernel, suite, tune } = settings;
  if ([kernel !== undefined, suite !== undefined, tune].filter(Boolean).length !== 1)
    throw new UsageError('give one of --kernel NAME, --suite NAME and --tune');
  const chosen = { ...(kernel ? { kernel } : {}), ...(suite ? { suite } : {}), tune };
  for (const [key, fits] of Object.entries(onlyFor)) {
    if (!(key in given) || fits(chosen)) continue;
    throw new UsageError(`${flagName(key)} has no effect with ${suite ? `--suite ${suite}` : tune ? '--tune' : '--kernel'}`);
  }
  if ('sparseInit' in given && settings.density === undefined)
    throw new UsageError('--sparse-init has no effect without --density');
  const step = suite === 'step' || tune;
  return { ...settings, samples: settings.samples ?? (step ? 5 : 9), width: settings.width ?? (step ? 64 : 16) };
}

async function bench(options: BenchOptions, output: OutputOptions & { save?: boolean }): Promise<void> {
  // the engine is loaded here: help and wrong usage answer without it
  const { runBench } = await import('../bench/run.ts');
  const outcome = await withProgress(output, hooks => runBench(options, hooks));
  printResult(output, outcome, outcomeText(outcome));
  if (output.save) {
    const { saveResult } = await import('../bench/record.ts');
    const file = saveResult('suite' in outcome ? outcome.suite : 'kernel' in outcome ? 'kernel' : 'tune', outcome);
    if (!output.quiet) process.stderr.write(`sparrow: saved in ${file}\n`);
  }
  if (!outcome.ok) throw new SparrowError(failure(outcome));
}

function failure(outcome: BenchOutcome): string {
  if (!('cases' in outcome)) return 'memory is not steady: live bytes or buffers made differ between the two looks';
  const failed = outcome.cases.filter(c => !c.ok);
  return `${outcome.kernel}: ${failed.length} of ${outcome.cases.length} cases do not agree with the reference`;
}
