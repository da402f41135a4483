/** `sparrow bench`: kernels against their references, and measurements of speed and memory. */
import type { Command } from 'commander';
import { SparrowError, UsageError } from '../../errors.ts';
import { runFlags } from '../../train/config.ts';
import { checkSettings, choice, integer, text, toggle, withDefaults } from '../../train/flags.ts';
import type { ConvResult } from '../bench/conv.ts';
import type { KernelResult } from '../bench/kernel.ts';
import type { MemoryResult } from '../bench/memory.ts';
import type { BenchOptions, BenchOutcome } from '../bench/run.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { formatTable, profileTable } from '../table.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';

const examples = `
Examples:
  One kernel against its reference, and its speed; edit src/kernels/wgsl/matmul.wgsl and run it again:
    sparrow bench --kernel matmul
  Convolutions of a ResNet-18, in turns with jax-js on the same adapter:
    npm ci --prefix bench/peers
    sparrow bench --suite conv --peers
  Memory of adversarial training, after 5 steps and after 50:
    sparrow bench --suite memory --width 16 --batch-size 32`;

/** What is measured. */
const whatFlags = {
  kernel: text({ help: 'run src/kernels/wgsl/NAME.wgsl against its reference', default: undefined, placeholder: 'NAME' }),
  suite: choice(['conv', 'memory'], { help: 'run a suite', default: undefined }),
};

const howFlags = {
  small: toggle({ help: '--kernel: leave the large sizes out' }),
  samples: integer({ help: 'timed samples, each of several runs', default: 9, min: 1 }),
  batchSize: integer({ help: 'images of a batch', default: undefined, defaultText: 'conv 8, memory 32', min: 1 }),
  width: integer({ help: '--suite memory: base width of the network', default: 16, min: 1 }),
  steps: integer({
    help: '--suite memory: training steps; memory is looked at after step 5 and after the last',
    default: 50,
    min: 6,
  }),
  trainStep: integer({ help: '--suite memory: iterations of the training attack', default: 10, min: 1 }),
  peers: toggle({ help: '--suite conv: take turns with jax-js (bench/peers), which compiles for minutes on a software adapter' }),
  profile: toggle({ help: '--suite: time on the device by kernel (slows what is timed a little)' }),
  adapter: runFlags.adapter,
  gpu: runFlags.gpu,
};

const benchFlags = { ...whatFlags, ...howFlags };

/** Flags that belong to one kind of run. */
const onlyFor: Readonly<Record<string, (o: { kernel?: string; suite?: string }) => boolean>> = {
  small: o => o.kernel !== undefined,
  batchSize: o => o.suite !== undefined,
  width: o => o.suite === 'memory',
  steps: o => o.suite === 'memory',
  trainStep: o => o.suite === 'memory',
  peers: o => o.suite === 'conv',
  profile: o => o.suite !== undefined,
};

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('kernels against their references, speed of convolutions, memory of training')
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
    const flag = `--${key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`;
    throw new UsageError(`${flag} has no effect with ${kernel === undefined ? `--suite ${suite}` : '--kernel'}`);
  }
  return { ...settings, batchSize: settings.batchSize ?? (suite === 'memory' ? 32 : 8) };
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

// -- tables ----------------------------------------------------------------------------------------------------------------------------

function outcomeText(outcome: BenchOutcome): string {
  const { adapter, node, commit } = outcome;
  const where = `${adapter.kind}: ${adapter.description || adapter.architecture}; Node ${node}${commit ? `; commit ${commit}` : ''}`;
  const table =
    'kernel' in outcome ? kernelText(outcome.cases) : outcome.suite === 'conv' ? convText(outcome) : memoryText(outcome);
  return [where, table, ...(outcome.profile ? [profileTable(outcome.profile)] : [])].join('\n\n');
}

function kernelText(cases: readonly KernelResult[]): string {
  const rows = cases.map(c => [
    c.title,
    c.ok ? 'ok' : 'FAILED',
    c.error.toExponential(1),
    c.tolerance.toExponential(0),
    c.timing.median.toFixed(3),
    `${significant(c.rate.median)} ${c.unit}`,
    `${significant(c.rate.min)} - ${significant(c.rate.max)}`,
  ]);
  return formatTable(['case', 'check', 'error', 'allowed', 'ms', 'median', 'range'], rows);
}

function convText({ batchSize, peer, shapes }: { batchSize: number; peer?: string; shapes: readonly ConvResult[] }): string {
  const header = [`GFLOP/s, batch ${batchSize}`, 'forward', 'input gradient', 'weight gradient', 'all three'];
  const rows = shapes.map(({ shape, own }) => [
    shape,
    ...[own.forward, own.inputGradient, own.weightGradient, own.all].map(rate => significant(rate.gflops)),
  ]);
  if (!peer) return formatTable(header, rows);
  const beside = shapes.map(({ peer: p }) => [
    significant(p!.forward.gflops),
    significant(p!.all.gflops),
    p!.ratio.forward.toFixed(2),
    p!.ratio.all.toFixed(2),
  ]);
  const more = [`${peer} forward`, `${peer} all`, 'ratio forward', 'ratio all'];
  return formatTable(
    [...header, ...more],
    rows.map((row, i) => [...row, ...beside[i]]),
  );
}

function memoryText({ early, late, ok, secondsPerStep }: MemoryResult): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
  const row = (name: string, of: (m: typeof early) => string) => [name, of(early), of(late)];
  const table = formatTable(
    ['', `after step ${early.step}`, `after step ${late.step}`],
    [
      row('live bytes', m => String(m.live)),
      row('live', m => mib(m.live)),
      row('peak', m => mib(m.peak)),
      row('waiting in the pool', m => mib(m.pooled)),
      row('buffers made', m => String(m.buffersMade)),
    ],
  );
  const verdict = ok ? 'steady: ok' : 'steady: FAILED';
  const between = `${late.buffersMade - early.buffersMade} buffers made in between`;
  return `${table}\n\n${verdict}, ${between}, ${secondsPerStep.toFixed(3)} s a step`;
}

/** Three significant digits. */
function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
