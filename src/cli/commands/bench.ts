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
  Memory of adversarial training, after 5 steps and after 50:
    sparrow bench --suite memory --width 16 --batch-size 32`;

/** What is measured. */
const whatFlags = {
  kernel: text({ help: 'run src/kernels/wgsl/NAME.wgsl against its reference', default: undefined, placeholder: 'NAME' }),
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
    defaultText: 'conv 8, memory 32, step 128 on a GPU, else 8',
    min: 1,
  }),
  shapes: choice(['stages', 'all'], {
    help: '--suite conv: convolutions of a ResNet-18 in short, or many more',
    default: 'stages',
  }),
  arch: { ...modelFlags.arch, help: `--suite step: ${modelFlags.arch.help}`, required: false, default: 'resnet18' },
  width: integer({
    help: '--suite step, memory: base width of the network',
    default: undefined,
    defaultText: 'step 64, memory 16',
    min: 1,
  }),
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
const onlyFor: Readonly<Record<string, (o: Pick<BenchOptions, 'kernel' | 'suite'>) => boolean>> = {
  small: o => o.kernel !== undefined,
  samples: o => o.suite !== 'memory',
  batchSize: o => o.suite === 'conv' || o.suite === 'step' || o.suite === 'memory',
  shapes: o => o.suite === 'conv',
  arch: o => o.suite === 'step',
  width: o => o.suite === 'step' || o.suite === 'memory',
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
    .description('Checks and times one kernel (--kernel), or runs a suite (--suite). Exits with 1 when a check fails.');
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
  const { kernel, suite } = settings;
  if ((kernel === undefined) === (suite === undefined)) throw new UsageError('give either --kernel NAME or --suite NAME');
  const chosen = { ...(kernel ? { kernel } : {}), ...(suite ? { suite } : {}) };
  for (const [key, fits] of Object.entries(onlyFor)) {
    if (!(key in given) || fits(chosen)) continue;
    throw new UsageError(`${flagName(key)} has no effect with ${kernel === undefined ? `--suite ${suite}` : '--kernel'}`);
  }
  if ('sparseInit' in given && settings.density === undefined)
    throw new UsageError('--sparse-init has no effect without --density');
  const step = suite === 'step';
  return { ...settings, samples: settings.samples ?? (step ? 5 : 9), width: settings.width ?? (step ? 64 : 16) };
}

async function bench(options: BenchOptions, output: OutputOptions & { save?: boolean }): Promise<void> {
  // the engine is loaded here: help and wrong usage answer without it
  const { runBench } = await import('../bench/run.ts');
  const outcome = await withProgress(output, hooks => runBench(options, hooks.onProgress));
  printResult(output, outcome, outcomeText(outcome));
  if (output.save) {
    const { saveResult } = await import('../bench/record.ts');
    const file = saveResult('kernel' in outcome ? 'kernel' : outcome.suite, outcome);
    if (!output.quiet) process.stderr.write(`sparrow: saved in ${file}\n`);
  }
  if (!outcome.ok) throw new SparrowError(failure(outcome));
}

function failure(outcome: BenchOutcome): string {
  if (!('kernel' in outcome)) return 'memory is not steady: live bytes or buffers made differ between the two looks';
  const failed = outcome.cases.filter(c => !c.ok);
  return `${outcome.kernel}: ${failed.length} of ${outcome.cases.length} cases do not agree with the reference`;
}
