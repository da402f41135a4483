/** `sparrow attack`: attacked images of a data set, as a file. */
import type { Command } from 'commander';
import { ensureWritableFile, writeSafetensors } from '../../data/files.ts';
import { UsageError } from '../../errors.ts';
import {
  ballOf,
  craftingFlags,
  type EvalSettings,
  engineFlags,
  evalFlags,
  evaluationNotices,
  oneAttack,
  resolveEvaluation,
  victimFlags,
} from '../../train/attack-settings.ts';
import { type Settings, text } from '../../train/flags.ts';
import type { AttackedImages } from '../../train/robustness.ts';
import * as engine from '../engine.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';
import { accuracyTable, noticesOf } from './eval.ts';

const examples = `
Examples:
  PGD-20 images of the first 100 test images:
    sparrow attack --checkpoint runs/fb/best-ra.safetensors --data data --limit 100 --out adv.safetensors
  AutoAttack in L2:
    sparrow attack --checkpoint runs/fb/best-ra.safetensors --data data --attack aa --norm l2 --eps 0.5 --out adv.safetensors

The file holds adv [N, C, H, W] (float32 in [0, 1], in the order of the data set), labels [N] (int64) and logits [N, K] (float32, of
--checkpoint on the attacked images). An attack that goes on with survivors only leaves images that are misclassified anyway as they are.`;

const outFlags = {
  out: text({ help: 'the safetensors file that gets the images', default: undefined, placeholder: 'FILE', required: true }),
};

export function addAttack(program: Command): void {
  const command = program
    .command('attack')
    .summary('writes attacked images to a file')
    .description('Attacks images as `sparrow eval` does, by one attack, and writes them to a safetensors file.');
  addFlags(command, 'Model and data', victimFlags);
  addFlags(command, 'Attack', craftingFlags);
  addFlags(command, 'Run', { ...outFlags, ...engineFlags });
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action(async (options: OutputOptions) => {
      const given = givenFlags(command, evalFlags);
      const settings = resolveEvaluation(given);
      const { out } = givenFlags(command, outFlags) as Partial<Settings<typeof outFlags>>;
      await attack(settings, out, evaluationNotices(given, settings), options);
    });
}

async function attack(
  settings: EvalSettings,
  out: string | undefined,
  notices: readonly string[],
  options: OutputOptions,
): Promise<void> {
  if (out === undefined) throw new UsageError('--out is required: the safetensors file that gets the images');
  oneAttack(settings);
  ensureWritableFile(out);
  const { result, images } = await withProgress(options, hooks =>
    engine.robustness(settings, noticesOf(options, hooks, notices), true),
  );
  writeImages(out, images!, settings);
  printResult(options, { ...result, out }, `${accuracyTable(result, settings)}\n\nin ${out}`);
}

function writeImages(path: string, { shape, adv, labels, classes, logits }: AttackedImages, settings: EvalSettings): void {
  const [n] = shape;
  const { norm, eps } = ballOf(settings);
  writeSafetensors(
    path,
    new Map([
      ['adv', { dtype: 'F32', shape, data: adv }],
      ['labels', { dtype: 'I64', shape: [n], data: BigInt64Array.from(Array.from(labels, BigInt)) }],
      ['logits', { dtype: 'F32', shape: [n, classes], data: logits }],
    ]),
    { attack: settings.attack[0], norm, eps: String(eps), split: settings.split, seed: String(settings.seed) },
  );
}
