/** `sparrow explain`: why a network says what it says, and how its loss lies, as a page. */
import type { Command } from 'commander';
import { ensureWritableFolder } from '../../data/files.ts';
import { UsageError } from '../../errors.ts';
import type { WrittenExplanation } from '../../report/explain.ts';
import { craftingFlags, engineFlags, evaluationNotices } from '../../train/attack-settings.ts';
import {
  type ExplainSettings,
  explainedFlags,
  explainFlags,
  figureFlags,
  resolveExplanation,
} from '../../train/explain/settings.ts';
import { type Settings, text, toggle } from '../../train/flags.ts';
import * as engine from '../engine.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { formatTable, percent } from '../table.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';
import { noticesOf } from './eval.ts';

const examples = `
Examples:
  Every figure, of the first 16 test images under PGD-20:
    sparrow explain --checkpoint runs/fb/best-ra.safetensors --data data --out runs/fb/explain
  Grad-CAM and saliency of 100 images:
    sparrow explain --checkpoint runs/fb/best-ra.safetensors --data data --figures cam,saliency --limit 100 --out why
  Every figure as SVG and PNG, too:
    sparrow explain --checkpoint runs/fb/best-ra.safetensors --data data --svg-png --out why
  Grad-CAM of an earlier layer, plain:
    sparrow explain --checkpoint runs/fb/best-ra.safetensors --data data --figures cam --layer layer3.1 --no-flip --no-eigen --out why
  A fine surface in weight space, attacked anew at every point:
    sparrow explain --checkpoint runs/fb/best-ra.safetensors --data data --figures weights --grid 31 --recraft 10 --limit 128 --out why

The folder gets explain.html, which needs no other file, explain.json with a summary, and explain.safetensors with the numbers: clean, adv [N, C, H, W]; labels,
pred.clean, pred.adv [N]; cam.clean, cam.adv, saliency.clean, saliency.adv [N, H, W]; input.loss, input.pred [S, G, G] with the coordinates
input.axis [G] along the adversarial direction (last index) and a random one, in units of eps; weights.clean, weights.adv [G, G] with
weights.axis [G] in units of a filter's length. Masked weights stay masked: they are no part of a direction in weight space.`;

const outFlags = {
  out: text({ help: 'the folder that gets the page and its numbers', default: undefined, placeholder: 'DIR', required: true }),
  svgPng: toggle({ help: 'write each figure as SVG and PNG, too, into figures/ of that folder' }),
};

export function addExplain(program: Command): void {
  const command = program
    .command('explain')
    .summary('Grad-CAM, saliency and loss surfaces of a checkpoint, as a page')
    .description(
      'Shows what a network looks at in clean and in attacked images (Grad-CAM, input saliency), and its loss around images and in weight ' +
        'space. Architecture and data set are those the checkpoint names; a plain state_dict needs --dataset, --arch and --width.',
    );
  addFlags(command, 'Model and data', explainedFlags);
  addFlags(command, 'Attack', craftingFlags);
  addFlags(command, 'Figures', figureFlags);
  addFlags(command, 'Run', { ...outFlags, ...engineFlags });
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action(async (options: OutputOptions) => {
      const given = givenFlags(command, explainFlags);
      const settings = resolveExplanation(given);
      const notices = evaluationNotices(given, settings, settings.figures.includes('weights') ? settings.recraft : 0);
      const { out, svgPng = false } = givenFlags(command, outFlags) as Partial<Settings<typeof outFlags>>;
      await explain(settings, out, svgPng, notices, options);
    });
}

async function explain(
  settings: ExplainSettings,
  out: string | undefined,
  svgPng: boolean,
  notices: readonly string[],
  options: OutputOptions,
): Promise<void> {
  if (out === undefined) throw new UsageError('--out is required: the folder that gets the page and its numbers');
  ensureWritableFolder(out);
  const written = await withProgress(options, hooks => engine.explain(settings, out, svgPng, noticesOf(options, hooks, notices)));
  printResult(options, written, summaryTable(written));
}

function summaryTable({ n, sa, ra, attack, similarity, around, weights, files }: WrittenExplanation): string {
  const attacked = attack !== 'none';
  const rows = [['SA', percent(sa)], ...(attacked ? [[`RA ${attack}`, percent(ra)]] : [])];
  const add = (name: string, value: number | undefined) => value !== undefined && rows.push([name, value.toFixed(4)]);
  add('cosine of Grad-CAM, clean and attacked', similarity.cam);
  add('cosine of saliency, clean and attacked', similarity.saliency);
  add('loss at an image (nats)', around?.centreLoss);
  add('largest loss around it within eps (nats)', around?.ballLoss);
  add('loss on clean images (nats)', weights?.clean.centreLoss);
  if (attacked || weights?.recraft) add('loss on attacked images (nats)', weights?.adv.centreLoss);
  const drawn = files.figures ? `, ${files.figures.length} files of figures beside it` : '';
  return `${formatTable([`${n} images`, ''], rows)}\n\nin ${files.page}${drawn}`;
}
