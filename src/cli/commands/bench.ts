/** `sparrow bench`: kernels against their references, and measurements of speed and memory. */
import type { Command } from 'commander';
import { SparrowError, UsageError } from '../../errors.ts';
import { initialisers } from '../../sparse/densities/index.ts';
import { modelFlags, optimiserFlags, runFlags } from '../../train/config.ts';
import { checkSettings, choice, flagName, integer, number, text, toggle, withDefaults } from '../../train/flags.ts';
import { areShapes, shapesSyntax } from '../bench/conv-shapes.ts';
import type { BenchOptions, BenchOutcome } from '../bench/run.ts';
import { outcomeText } from '../bench/text.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';

const examples = `
Examples:
  One kernel against its reference, and its speed; edit src/kernels/wgsl/matmul.wgsl and run it again:
    sparrow bench --kernel matmul
  Convolutions of a ResNet-18, in turns with jax-js and TensorFlow.js on the same adapter; then two shapes only, of a longer list:
    npm ci --prefix bench/peers
    sparrow bench --suite conv --peers
    sparrow bench --suite conv --peers --shapes 3-64x64,64-128x32k1s2n16 --samples 3
  Convolutions, batch norm and a PGD-10 training step beside them, the result kept; then drawn as a page:
    sparrow bench --suite peers --out bench/results/peers.jsonl
    sparrow bench --page peers.html bench/results/peers.jsonl
  One adversarial training step of a ResNet-18, with the time of each kernel; then with a tenth of its weights:
    sparrow bench --suite step --profile
    sparrow bench --suite step --density 0.1
  Convolutions at densities of .5 to .05 beside the same ones dense:
    sparrow bench --suite sparse
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
  suite: choice(['conv', 'norm', 'step', 'sparse', 'launch', 'memory', 'limits', 'peers'], {
    help: 'run a suite; peers is conv, norm and step in turns with other libraries',
    default: undefined,
  }),
  page: text({ help: 'draw the given results as FILE', default: undefined, placeholder: 'FILE.html' }),
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
    defaultText: 'conv, norm and sparse 8, memory 32, step and --tune 128 on a GPU, else 8',
    min: 1,
  }),
  shapes: {
    ...text({ help: `--suite conv, sparse, peers: ${shapesSyntax}`, default: 'stages', placeholder: 'LIST' }),
    problem: (value: unknown) => (areShapes(String(value)) ? null : `must be ${shapesSyntax}`),
  },
  arch: { ...modelFlags.arch, help: `--suite step, --tune: ${modelFlags.arch.help}`, required: false, default: 'resnet18' },
  width: integer({
    help: '--suite step, memory, peers, --tune: base width of the network',
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
  trainStep: integer({ help: '--suite step, memory, peers: iterations of the training attack', default: 10, min: 1 }),
  density: number({
    help: '--suite step, --tune: share of the weights that a random mask keeps',
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
  peers: toggle({
    help: '--suite conv, norm, step: take turns with jax-js and TensorFlow.js (bench/peers), which compile for minutes on a software adapter, and measure PyTorch where python3 has it',
  }),
  profile: toggle({
    help: '--suite: time on the device by kernel (for step of further steps; else it slows what is timed a little)',
  }),
  adapter: runFlags.adapter,
  gpu: runFlags.gpu,
  precision: optimiserFlags.precision,
};

const benchFlags = { ...whatFlags, ...howFlags };

const trains = ['step', 'memory', 'peers'];
const contests = ['conv', 'norm', 'step'];

/** Flags that belong to one kind of run. */
const onlyFor: Readonly<Record<string, (o: Pick<BenchOptions, 'kernel' | 'suite' | 'tune'>) => boolean>> = {
  imageSize: o => o.tune,
  budget: o => o.tune,
  again: o => o.tune,
  small: o => o.kernel !== undefined,
  samples: o => o.suite !== 'memory' && !o.tune,
  batchSize: o => o.tune || [...contests, ...trains, 'sparse'].includes(o.suite ?? ''),
  shapes: o => o.suite === 'conv' || o.suite === 'sparse' || o.suite === 'peers',
  arch: o => o.tune || o.suite === 'step',
  width: o => o.tune || trains.includes(o.suite ?? ''),
  steps: o => o.suite === 'memory',
  trainStep: o => trains.includes(o.suite ?? ''),
  density: o => o.suite === 'step' || o.tune,
  sparseInit: o => o.suite === 'step' || o.tune,
  peers: o => contests.includes(o.suite ?? ''),
  profile: o => o.suite !== undefined && o.suite !== 'peers',
};

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('kernels against their references; speed and memory of convolutions and training')
    .argument('[results...]', 'with --page: files that --out wrote')
    .description(
      'Checks and times one kernel (--kernel), runs a suite (--suite), chooses kernels by measuring (--tune), or draws results (--page). Exits with 1 when a check fails.',
    );
  addFlags(command, 'What', whatFlags);
  addFlags(command, 'How', howFlags);
  addOutputOptions(command)
    .option('--out <FILE>', 'append the result to FILE as a line of JSON')
    .addHelpText('after', examples)
    .action(async (results: string[], output: BenchOutput) => {
      const given = givenFlags(command, benchFlags);
      const { page } = withDefaults(benchFlags, given);
      if (page === undefined) {
        if (results.length > 0) throw new UsageError(`'${results[0]}' has no effect without --page`);
        await bench(resolve(given), output);
      } else {
        const other = Object.keys(benchFlags).find(key => key !== 'page' && command.getOptionValueSource(key) === 'cli');
        if (other !== undefined) throw new UsageError(`${flagName(other)} has no effect with --page`);
        if (output.out !== undefined) throw new UsageError('--out has no effect with --page');
        await drawPage(page, results, output);
      }
    });
}

type BenchOutput = OutputOptions & { readonly out?: string };

/** Defaults, and which flags go together. */
function resolve(given: Partial<Record<keyof typeof benchFlags, unknown>>): BenchOptions {
  const settings = withDefaults(benchFlags, given as never);
  checkSettings(benchFlags, settings);
  const { kernel, suite, tune } = settings;
  if ([kernel !== undefined, suite !== undefined, tune].filter(Boolean).length !== 1)
    throw new UsageError('give one of --kernel NAME, --suite NAME, --tune and --page FILE.html');
  const chosen = { ...(kernel ? { kernel } : {}), ...(suite ? { suite } : {}), tune };
  for (const [key, fits] of Object.entries(onlyFor)) {
    if (!(key in given) || fits(chosen)) continue;
    throw new UsageError(`${flagName(key)} has no effect with ${suite ? `--suite ${suite}` : tune ? '--tune' : '--kernel'}`);
  }
  if ('sparseInit' in given && settings.density === undefined)
    throw new UsageError('--sparse-init has no effect without --density');
  if (settings.peers && settings.density !== undefined)
    throw new UsageError('--density has no effect on other libraries: leave out --peers');
  if (settings.peers && settings.arch !== 'resnet18') throw new UsageError('--peers has resnet18 only; leave out --arch');
  return settings;
}

async function bench(options: BenchOptions, output: BenchOutput): Promise<void> {
  const { appendResult, checkOut } = await import('../bench/record.ts');
  if (output.out !== undefined) checkOut(output.out);
  // the engine is loaded here: help and wrong usage answer without it
  const { runBench } = await import('../bench/run.ts');
  const outcome = await withProgress(output, hooks => runBench(options, hooks));
  printResult(output, outcome, outcomeText(outcome));
  if (output.out !== undefined) {
    appendResult(output.out, outcome);
    if (!output.quiet) process.stderr.write(`sparrow: saved in ${output.out}\n`);
  }
  if (!outcome.ok) throw new SparrowError(failure(outcome));
}

async function drawPage(page: string, results: readonly string[], output: OutputOptions): Promise<void> {
  const { writeBenchPage } = await import('../../report/benchPage.ts');
  const count = writeBenchPage(results, page);
  printResult(output, { page, results: count }, `${page}: ${count} ${count === 1 ? 'result' : 'results'}`);
}

function failure(outcome: BenchOutcome): string {
  if (!('cases' in outcome)) return 'memory is not steady: live bytes or buffers made differ between the two looks';
  const failed = outcome.cases.filter(c => !c.ok);
  return `${outcome.kernel}: ${failed.length} of ${outcome.cases.length} cases do not agree with the reference`;
}
