/** The page and the files of an explanation. */
import { join } from 'node:path';
import { ensureWritableFolder, writeFileAtomic, writeSafetensors } from '../data/files.ts';
import type { StoredTensor } from '../data/safetensors.ts';
import type { About, Explanation } from '../train/explain/explanation.ts';
import { imageCards, imageFigures } from './explainImages.ts';
import { type ExplainSummary, summariseExplanation } from './explainSummary.ts';
import { aroundImages, inWeightSpace } from './explainSurfaces.ts';
import type { Figure } from './figure.ts';
import { writeFigures } from './figureFiles.ts';
import { percent, plain } from './format.ts';
import { html, type Markup } from './markup.ts';
import { section } from './sections/section.ts';
import { style } from './style.ts';

/** What the page has beside the style of reports. */
const ownStyle = `
ul.explained { margin: 0; padding: 0; list-style: none; display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); gap: 16px; }
ul.explained li { padding: 10px 12px 12px; background: var(--raised); border-radius: 8px; break-inside: avoid; }
ul.explained .triple + .triple { margin-top: 10px; }
ul.explained .note { margin: 10px 0 0; font-size: .8rem; }
.planes { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 480px)); gap: 28px 48px; align-items: start; }
main .facts dt { white-space: nowrap; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
`;

/** The files of an explanation in its folder. */
const files = { page: 'explain.html', numbers: 'explain.safetensors', summary: 'explain.json' } as const;

/** What was written: the summary, and the paths. */
export type WrittenExplanation = ExplainSummary & {
  readonly files: Record<keyof typeof files, string> & { readonly figures?: readonly string[] };
};

export interface WriteOptions {
  /** Writes each figure as SVG and PNG, too, into `figures` of the folder. */
  figureFiles?: boolean;
  /** Told of each figure that is written. */
  onFigure?: (done: number, total: number) => void;
}

/** Every figure of an explanation: the images with their maps, and the surfaces. */
export function figuresOf(explanation: Explanation): Figure[] {
  const surfaces = [aroundImages(explanation), inWeightSpace(explanation)];
  return [...imageFigures(explanation), ...surfaces.flatMap(part => part?.figures ?? [])];
}

/** Writes the page, the raw numbers and the summary, each whole or not at all. @throws FileError where the folder cannot be written */
export async function writeExplanation(
  folder: string,
  explanation: Explanation,
  { figureFiles = false, onFigure }: WriteOptions = {},
): Promise<WrittenExplanation> {
  ensureWritableFolder(folder);
  const summary = summariseExplanation(explanation);
  writeSafetensors(join(folder, files.numbers), tensorsOf(explanation), metadataOf(explanation));
  writeFileAtomic(join(folder, files.summary), `${JSON.stringify(summary, undefined, 2)}\n`);
  writeFileAtomic(join(folder, files.page), renderExplanation(explanation));
  const paths = Object.entries(files).map(([key, name]) => [key, join(folder, name)]);
  const figures = figureFiles && { figures: await writeFigures(figuresOf(explanation), join(folder, 'figures'), onFigure) };
  return { ...summary, files: { ...Object.fromEntries(paths), ...figures } };
}

/** The page: one HTML document that needs nothing else. Sections of figures that were not computed are left out. */
export function renderExplanation(explanation: Explanation): string {
  const { about, shape } = explanation;
  const attacked = about.attack !== 'none';
  const title = `${about.arch} on ${about.dataset}: clean ${attacked ? 'and attacked ' : ''}images`;
  const facts = [
    about.checkpoint,
    `${shape[0]} images of ${about.split}`,
    ...(attacked ? [`${about.attack}, eps ${epsText(about)}`] : []),
    `SA ${percent(about.sa)}${attacked ? `, RA ${percent(about.ra)}` : ''}`,
  ];
  const head = html`<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/><title>${title}</title>`;
  const body = html`<header><p class="kind">Sparrow explain</p><h1>${title}</h1><p class="facts-line">${facts.join('\u00A0· ')}</p></header><main>${imageCards(explanation)}${aroundImages(explanation)?.markup}${inWeightSpace(explanation)?.markup}${settingsOf(explanation)}</main><footer>${attacked ? 'SA and RA are the accuracies on these images, clean and attacked.' : 'SA is the accuracy on these images.'}</footer>`;
  return `<!DOCTYPE html>\n${head}<style>${style}${ownStyle}</style></head><body>${body}</body></html>\n`;
}

/** The radius as the command line takes it. */
function epsText({ norm, eps }: About): string {
  return norm === 'linf' ? `${plain(eps * 255)}/255` : `${plain(eps)} in L2`;
}

function settingsOf({ about }: Explanation): Markup {
  const facts: [string, string][] = [
    ['checkpoint', about.checkpoint],
    ['architecture', about.arch],
    ['data set', `${about.dataset}, ${about.split}`],
    ['attack', `${about.attack}, eps ${epsText(about)}`],
    ['layer of Grad-CAM', `${about.layer} [${about.map.join(', ')}]`],
    ['seed', plain(about.seed)],
    ['adapter', about.adapter],
  ];
  return section(
    'settings',
    'How it was made',
    [],
    html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`,
  ).markup;
}

/** The raw numbers by name. */
function tensorsOf({ shape, labels, clean, adv, around, weights }: Explanation): Map<string, StoredTensor> {
  const [n, , height, width] = shape;
  const tensors = new Map<string, StoredTensor>();
  const floats = (name: string, of: readonly number[], data: Float32Array | undefined) =>
    data && tensors.set(name, { dtype: 'F32', shape: of, data });
  const integers = (name: string, of: readonly number[], data: Int32Array) =>
    tensors.set(name, { dtype: 'I64', shape: of, data: BigInt64Array.from(Array.from(data, BigInt)) });
  integers('labels', [n], labels);
  for (const [kind, view] of Object.entries({ clean, adv })) {
    floats(kind, shape, view.images);
    integers(`pred.${kind}`, [n], view.predicted);
    floats(`cam.${kind}`, [n, height, width], view.cam);
    floats(`saliency.${kind}`, [n, height, width], view.saliency);
  }
  if (around) {
    const { axis, count, loss, predicted } = around;
    const grid = [count, axis.length, axis.length];
    floats('input.axis', [axis.length], Float32Array.from(axis));
    floats('input.loss', grid, loss);
    integers('input.pred', grid, predicted);
  }
  if (weights) {
    const { axis } = weights;
    floats('weights.axis', [axis.length], Float32Array.from(axis));
    floats('weights.clean', [axis.length, axis.length], weights.clean);
    floats('weights.adv', [axis.length, axis.length], weights.adv);
  }
  return tensors;
}

function metadataOf({ about, classes }: Explanation): Record<string, string> {
  return {
    classes: JSON.stringify(classes),
    checkpoint: about.checkpoint,
    attack: about.attack,
    norm: about.norm,
    eps: String(about.eps),
    layer: about.layer,
    seed: String(about.seed),
  };
}
