/** `sparrow eval`: the accuracy of a checkpoint, clean and under attacks. */
import type { Command } from 'commander';
import type { EvalResult } from '../../train/api.ts';
import {
  ballOf,
  type EvalSettings,
  engineFlags,
  evalFlags,
  evaluationFlags,
  evaluationNotices,
  resolveEvaluation,
  victimFlags,
} from '../../train/attack-settings.ts';
import * as engine from '../engine.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { duration, formatTable, percent } from '../table.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';

const examples = `
Examples:
  Accuracy and PGD-20 accuracy on test:
    sparrow eval --checkpoint runs/fb/best-ra.safetensors --data data
  Several attacks, on the first 500 images:
    sparrow eval --checkpoint runs/fb/best-ra.safetensors --data data --attack fgsm,pgd-50,cw-20,apgd-ce --limit 500
  AutoAttack's standard version:
    sparrow eval --checkpoint runs/fb/best-ra.safetensors --data data --attack aa --json
  In L2, where the radius is given directly:
    sparrow eval --checkpoint runs/fb/best-ra.safetensors --data data --attack aa --norm l2 --eps 0.5
  Images crafted on another checkpoint:
    sparrow eval --checkpoint runs/fb/best-ra.safetensors --transfer-from runs/dense/best-ra.safetensors --data data

RA of fgsm, pgd-N and cw-N is the accuracy on attacked images. The other attacks, and the ensembles aa, aa-plus and aa-rand, attack only
what is classified correctly; RA is what survives, each run of an ensemble getting the survivors of those before.`;

export function addEval(program: Command): void {
  const command = program
    .command('eval')
    .summary('accuracy of a checkpoint under attacks, AutoAttack among them')
    .description(
      'Scores a checkpoint: SA (accuracy) and RA (accuracy under attack). Architecture and data set are those the file names; a plain ' +
        'state_dict needs --dataset, --arch and --width.',
    );
  addFlags(command, 'Model and data', victimFlags);
  addFlags(command, 'Attacks', evaluationFlags);
  addFlags(command, 'Run', engineFlags);
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action(async (options: OutputOptions) => {
      const given = givenFlags(command, evalFlags);
      const settings = resolveEvaluation(given);
      const notices = evaluationNotices(given, settings);
      const { result } = await withProgress(options, hooks =>
        engine.robustness(settings, noticesOf(options, hooks, notices), false),
      );
      printResult(options, result, accuracyTable(result, settings));
    });
}

/** Notices are progress here: `--quiet` silences them too. @param first those that there are before the work begins */
export function noticesOf<H extends { onNotice(line: string): void }>(
  { quiet }: OutputOptions,
  hooks: H,
  first: readonly string[] = [],
): H {
  if (quiet) return { ...hooks, onNotice: () => {} };
  first.forEach(hooks.onNotice);
  return hooks;
}

/** SA, and RA by attack; the heading says what the radius was. */
export function accuracyTable({ n, sa, attacks }: EvalResult, settings: Pick<EvalSettings, 'norm' | 'eps'>): string {
  const { norm, eps } = ballOf(settings);
  const radius = norm === 'linf' ? `${Number((255 * eps).toFixed(4))}/255` : Number(eps.toFixed(4));
  const ball = Object.keys(attacks).length > 0 ? `, ${norm} ${radius}` : '';
  const rows = Object.entries(attacks).map(([name, { ra, seconds }]) => [`RA ${name}`, percent(ra), duration(seconds)]);
  return formatTable([`${n} images${ball}`, 'accuracy', 'time'], [['SA', percent(sa), ''], ...rows]);
}
