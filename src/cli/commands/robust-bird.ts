/** `sparrow robust-bird`: an early-bird ticket, and its training. */
import type { Command } from 'commander';
import type { RobustBirdResult } from '../../train/api.ts';
import { stageNotices } from '../../train/config-notices.ts';
import {
  type RobustBirdSettings,
  resolveRobustBird,
  robustBirdFlags,
  stageAttackFlags,
  stageConfig,
  stageFlags,
  stageFolder,
  stageModelFlags,
  stageOptimiserFlags,
  stageRunFlags,
} from '../../train/robust-bird/settings.ts';
import * as engine from '../engine.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { writeRunPage } from '../run-page.ts';
import { type OutputOptions, printResult } from '../terminal.ts';
import { resultText, trained } from './train.ts';

const examples = `
Examples:
  Standard training until the ticket emerges, then adversarial training of a fifth of the weights:
    sparrow robust-bird --stage1 sgd --stage2 pgd --epochs2 200 --arch resnet18 --data data/cifar10 --pruning unstructured --density 0.2 --save-dir runs/rb
  Half of the channels, found by fast adversarial training:
    sparrow robust-bird --stage1 fast --stage2 pgd --epochs2 200 --arch resnet18 --data data/cifar10 --pruning channel --density 0.5 --save-dir runs/rbc
  The largest weights of a dense network that was trained before:
    sparrow robust-bird --stage1-pretrained runs/dense/checkpoint.safetensors --stage2 pgd --epochs2 200 --arch resnet18 --data data/cifar10 --pruning unstructured --density 0.2 --save-dir runs/rbp
  Go on after an interruption:
    sparrow robust-bird ... --save-dir runs/rb --resume

The ticket has emerged when the mask of the largest weights (or of the channels with the largest gammas) differs from those of the four epochs before in at
most .08 (or .1) of its entries. distances.json in the folder of stage 1 has the distances between the masks of all its epochs.`;

export function addRobustBird(program: Command): void {
  const command = program
    .command('robust-bird')
    .summary('Robust Bird: training until an early-bird ticket emerges, then training of that ticket')
    .description(
      'Trains a dense network until its early-bird ticket emerges (stage 1), prunes it to the weights or channels of the ticket, and trains what is ' +
        'left (stage 2). Each stage is a run with a folder of its own.',
    );
  addFlags(command, 'Stages', stageFlags);
  addFlags(command, 'Model and data', stageModelFlags);
  addFlags(command, 'Run', stageRunFlags);
  addFlags(command, 'Optimiser', stageOptimiserFlags);
  addFlags(command, 'Attacks', stageAttackFlags);
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action((options: OutputOptions) => {
      const given = givenFlags(command, robustBirdFlags);
      return train(given, resolveRobustBird(given), options);
    });
}

async function train(
  { density, ...given }: Partial<RobustBirdSettings>, // the density is that of the ticket
  settings: RobustBirdSettings,
  options: OutputOptions,
): Promise<void> {
  const folders = `${settings.saveDir}_stage1 and _stage2`;
  const stages = settings.stage1 === undefined ? ([2] as const) : ([1, 2] as const);
  const result = await trained(options, folders, hooks => {
    stageNotices(
      given,
      stages.map(stage => stageConfig(settings, stage)),
    ).forEach(hooks.onNotice);
    return engine.robustBird(settings, hooks);
  });
  for (const stage of stages) await writeRunPage(stageFolder(settings, stage));
  printResult(options, result, `${resultText(result, stageFolder(settings, 2))}\n${ticketText(result)}`);
}

function ticketText({ ticket: { emerged, epoch, checkpoint, channels } }: RobustBirdResult): string {
  const origin = emerged ? `the ticket of epoch ${epoch}` : epoch === null ? checkpoint : `no ticket, epoch ${epoch} of stage 1`;
  return `pruned: ${origin}${channels ? `, ${channels.kept} of ${channels.of} channels kept` : ''}`;
}
