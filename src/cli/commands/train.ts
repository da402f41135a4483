/** `sparrow train`: adversarial training, dense or under a mask. */
import type { Command } from 'commander';
import { UsageError } from '../../errors.ts';
import type { EvalResult, RunHooks, TrainResult } from '../../train/api.ts';
import {
  attackFlags,
  modelFlags,
  optimiserFlags,
  resolveConfig,
  runFlags,
  sparseFlags,
  type TrainConfig,
  trainFlags,
} from '../../train/config.ts';
import { configNotices } from '../../train/config-notices.ts';
import * as engine from '../engine.ts';
import { Interrupted } from '../interrupt.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { writeRunPage } from '../run-page.ts';
import { duration, formatTable, percent } from '../table.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';

const examples = `
Examples:
  Dense adversarial training (PGD-10, 200 epochs):
    sparrow train --dataset cifar10 --data data --arch resnet18 --save-dir runs/dense
  Flying Bird at 80 % sparsity, and Flying Bird+:
    sparrow train --dataset cifar10 --data data --arch resnet18 --save-dir runs/fb --density 0.2 --dynamic-fre --fb
    sparrow train --dataset cifar10 --data data --arch resnet18 --save-dir runs/fbp --density 0.2 --dynamic-fre --fbp
  RigL with TRADES, and a fixed SNIP mask:
    sparrow train --dataset cifar10 --data data --arch resnet18 --save-dir runs/rigl --density 0.2 --rigl --mode trades
    sparrow train --dataset cifar10 --data data --arch resnet18 --save-dir runs/snip --density 0.2 --fix --sparse-init snip
  Go on after an interruption:
    sparrow train ... --save-dir runs/fb --resume
  Score a checkpoint of the PyTorch code on test, and train on from it:
    sparrow train --dataset cifar10 --data data --arch resnet18 --eval --pretrained model_RA_best.pth.tar
    sparrow train --dataset cifar10 --data data --arch resnet18 --init model_RA_best.pth.tar --save-dir runs/more
  A small run without any data on disk:
    sparrow train --dataset shapes --arch resnet8 --width 8 --limit 1000 --eval-limit 200 --epochs 3 --save-dir runs/small

Kernels are those that sparrow bench --tune measured here for the sizes of the run, else the defaults of the adapter's class. Training itself
never measures; a resumed run keeps the kernels that it began with.

Every flag may also be spelled with underscores (--save_dir).`;

export function addTrain(program: Command): void {
  const command = program
    .command('train')
    .summary('adversarial training: dense, Flying Bird (--fb), Flying Bird+ (--fbp), and what they are compared with')
    .description(
      'Trains a network adversarially (--mode): dense by default, under a moving sparse mask with --fb, --fbp, --set, --rigl or --itop, ' +
        'under a fixed one with --fix. The folder given by --save-dir ' +
        'gets config.json, metrics.jsonl, checkpoints, result.json and report.html.',
    );
  addFlags(command, 'Model and data', modelFlags);
  addFlags(command, 'Run', runFlags);
  addFlags(command, 'Optimiser', optimiserFlags);
  addFlags(command, 'Attacks', attackFlags);
  addFlags(command, 'Masks', sparseFlags);
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action(async (options: OutputOptions) => {
      const given = givenFlags(command, trainFlags);
      const config = resolveConfig(given);
      if (config.eval) await score(given, config, options);
      else await train(given, config, options);
    });
}

async function train(given: Partial<TrainConfig>, config: TrainConfig, options: OutputOptions): Promise<void> {
  if (config.saveDir === undefined) throw new UsageError("--save-dir is required: the run's folder");
  const result = await trained(options, config.saveDir, hooks => {
    configNotices(given, config).forEach(hooks.onNotice);
    return engine.train(config, hooks);
  });
  await writeRunPage(config.saveDir);
  printResult(options, result, resultText(result, config.saveDir));
}

type Outcome<Result> = { readonly interrupted: false; readonly result: Result } | { readonly interrupted: true };

/** Trains with progress on the terminal. @param folders where it is saved, as a message says it @throws Interrupted where it was stopped */
export async function trained<Result>(
  options: OutputOptions,
  folders: string,
  train: (hooks: Required<RunHooks>) => Promise<Outcome<Result>>,
): Promise<Result> {
  const outcome = await withProgress({ ...options, stoppable: 'stopping after this iteration' }, train);
  if (outcome.interrupted) throw new Interrupted(`interrupted; saved in ${folders}, --resume continues it`);
  return outcome.result;
}

/** Best and final scores as a table, and where they are. */
export function resultText({ best, final, difference, density, seconds }: TrainResult, folder: string): string {
  const table = formatTable(
    ['test', `best (epoch ${best.epoch})`, `final (epoch ${final.epoch})`, 'difference'],
    [
      ['RA', percent(best.testRa), percent(final.testRa), percent(difference.ra)],
      ['SA', percent(best.testSa), percent(final.testSa), percent(difference.sa)],
    ],
  );
  return `${table}\n\ndensity ${density.toFixed(4)}, ${duration(seconds)}, in ${folder}`;
}

async function score({ testEps, reset }: Partial<TrainConfig>, config: TrainConfig, options: OutputOptions): Promise<void> {
  const result = await withProgress(options, hooks => {
    configNotices({ testEps, reset }, config).forEach(hooks.onNotice);
    return engine.score(config, hooks);
  });
  printResult(options, result, scoreText(result));
}

function scoreText({ n, sa, attacks }: EvalResult): string {
  const rows = Object.entries(attacks).map(([name, { ra }]) => [`RA ${name}`, percent(ra)]);
  return formatTable([`${n} images`, 'accuracy'], [['SA', percent(sa)], ...rows]);
}
