/** `sparrow sweep`: the same command for every combination of some values. */
import { Command } from 'commander';
import { SparrowError, UsageError } from '../../errors.ts';
import { Interrupted } from '../interrupt.ts';
import { addOutputOptions, normaliseArguments, valueTaker } from '../options.ts';
import { type Axis, type Combination, combinations, parseAxis, shellCommand } from '../sweep/plan.ts';
import { isOpen, type Outcome, runSweep, type SweepRun, standing } from '../sweep/runs.ts';
import { sweepable } from '../sweep/traces.ts';
import { duration, formatTable, percent } from '../table.ts';
import { type OutputOptions, printResult } from '../terminal.ts';

const examples = `
Examples:
  Flying Bird at three densities with three seeds, nine runs:
    sparrow sweep --grid density=0.05,0.1,0.2 --grid seed=1,2,3 -- train --fb --dataset cifar10 --data data --arch resnet18 --save-dir runs/fb-{density}-{seed}
  Several methods:
    sparrow sweep --grid method=fb,fbp,rigl,set -- train --{method} --dataset cifar10 --data data --arch resnet18 --save-dir runs/{method}
  With and without a mask (a word that becomes empty is left out):
    sparrow sweep --grid mask=,--fb --grid seed=1,2 -- train {mask} --dataset shapes --arch resnet8 --save-dir runs/a{mask}-{seed}
  What would be run:
    sparrow sweep --dry-run --grid seed=1,2,3 -- train --dataset shapes --arch resnet8 --save-dir runs/{seed}

A key that is a flag of the command is given to it; {key} anywhere in the command stands for the value. Runs are processes, one at a time. A
run that is finished is left alone, one that was broken off goes on, and after a failed one the next begins: the same command again
does what is left. The exit code is 1 if a run failed.`;

type SweepOptions = OutputOptions & { readonly grid?: Axis[]; readonly dryRun?: boolean };

export function addSweep(program: Command): void {
  const command = program
    .command('sweep')
    .summary('a command for every combination of some values, with resume')
    .description('Runs train or robust-bird for every combination of the values of --grid.')
    .usage('--grid KEY=VALUES [--grid KEY=VALUES ...] [--dry-run] -- COMMAND [flags of the command]')
    .argument('<command...>', 'the command that is run: train or robust-bird, with its flags')
    .option('--grid <KEY=VALUES>', 'what varies, and its values separated by commas', (text: string, before: Axis[] = []) => [
      ...before,
      parseAxis(text),
    ])
    .option('--dry-run', 'print the commands and run nothing')
    .exitOverride(error => {
      if (error.code !== 'commander.unknownOption' || error.message.includes('Did you mean')) throw error;
      throw new UsageError(`${error.message.replace(/^error: /, '')}; the command that is run, with its flags, stands after --`);
    });
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action((words: string[], options: SweepOptions) => sweep(program, words, options));
}

async function sweep(program: Command, words: string[], options: SweepOptions): Promise<void> {
  const { grid = [], dryRun = false, quiet = false, json = false } = options;
  if (grid.length === 0) throw new UsageError('--grid is required: what varies, as in --grid seed=1,2,3');
  const names = Object.keys(sweepable);
  if (!names.includes(words[0])) throw new UsageError(`a sweep is of ${names.join(' or ')}, not of '${words[0]}'`);
  const swept = program.commands.find(c => c.name() === words[0])!;
  const kind = (flag: string) => {
    const option = swept.options.find(({ long }) => long === flag);
    return option && (option.required ? 'value' : 'switch');
  };
  const runs = combinations(grid, words, kind).map(combination => runOf(program, swept, combination));
  distinctFolders(runs);
  if (dryRun) return printPlan(runs, options);

  const note = (line: string) => void (quiet || process.stderr.write(`sparrow: ${line}\n`));
  const { outcomes, interrupted } = await runSweep(runs, { quiet, entry: process.argv[1], note });
  const failed = outcomes.filter(outcome => outcome.state === 'failed');
  if (interrupted) throw new Interrupted('interrupted; the same command goes on');
  printResult({ json }, { runs: outcomes, failed: failed.length }, outcomeTable(grid, outcomes));
  if (failed.length === 0) return;
  const reasons = failed.map(({ folder, error }) => `${folder}: ${error}`).join('; ');
  throw new SparrowError(`${failed.length} of ${runs.length} runs failed (${reasons}); the same command tries them again`);
}

/** A copy of a command that parses and does nothing else. */
function parsed(program: Command, swept: Command, argv: readonly string[]): Command {
  const copy = new Command(swept.name())
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .action(() => {});
  for (const option of swept.options) copy.addOption(option);
  return copy.parse(normaliseArguments(argv, valueTaker(program, argv)).slice(1), { from: 'user' });
}

/** Checks a combination's command before anything runs. @throws what the command itself throws for wrong usage */
function runOf(program: Command, swept: Command, combination: Combination): SweepRun {
  const command = parsed(program, swept, combination.argv);
  const { saveDir } = command.opts<{ saveDir?: string }>();
  if (saveDir === undefined)
    throw new UsageError("--save-dir is required in the command: each run's folder, such as runs/{seed}");
  return { ...combination, folder: saveDir, traces: sweepable[swept.name()](command, saveDir) };
}

function distinctFolders(runs: readonly SweepRun[]): void {
  const seen = new Set<string>();
  for (const { folder, values } of runs) {
    if (seen.has(folder)) {
      const keys = Object.keys(values).map(key => `{${key}}`);
      throw new UsageError(`--save-dir ${folder} would be the folder of two runs: put ${keys.join(', ')} into it`);
    }
    seen.add(folder);
  }
}

function printPlan(runs: readonly SweepRun[], options: OutputOptions): void {
  const plan = runs.map(run => {
    const found = standing(run);
    const { state } = found;
    const command = ['sparrow', ...run.argv, ...(state === 'begun' ? ['--resume'] : [])];
    return { folder: run.folder, state, ...('error' in found && { error: found.error }), command };
  });
  const lines = plan.map(run => `${isOpen(run) ? '' : `# ${run.state}: `}${shellCommand(run.command)}`);
  printResult(options, { runs: plan }, lines.join('\n'));
}

function outcomeTable(grid: readonly Axis[], outcomes: readonly Outcome[]): string {
  const header = ['run', ...grid.map(({ key }) => key), 'state', 'RA best', 'RA final', 'SA final', 'density', 'time'];
  const rows = outcomes.map(({ folder, values, state, result, seconds }) => [
    folder,
    ...grid.map(({ key }) => values[key]),
    state,
    ...(result
      ? [percent(result.best.testRa), percent(result.final.testRa), percent(result.final.testSa), result.density.toFixed(4)]
      : ['', '', '', '']),
    seconds === undefined ? '' : duration(seconds),
  ]);
  return formatTable(header, rows);
}
