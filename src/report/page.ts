/** The page: runs in, one HTML file out that needs nothing else, neither network nor script. */
import type { Figure } from './figure.ts';
import { html, type Markup } from './markup.ts';
import { noticesOf } from './notices.ts';
import type { RunData } from './run.ts';
import { configuration, formulas } from './sections/configuration.ts';
import { curves } from './sections/curves.ts';
import { headline } from './sections/headline.ts';
import { layers } from './sections/layers.ts';
import { masks } from './sections/masks.ts';
import { samples } from './sections/samples.ts';
import { type Section, type StyledRun, withOwnLabels } from './sections/section.ts';
import { sparsity } from './sections/sparsity.ts';
import { dataSetOf } from './sections/summary.ts';
import { weights } from './sections/weights.ts';
import { style } from './style.ts';

export interface ReportOptions {
  /** The page's heading. Default: the runs' labels. */
  title?: string;
  /** Image pairs shown of each run. Default: 8 of a single run, 4 of each of several. */
  samples?: number;
}

/** The report of one or more runs as a self-contained HTML document. Sections whose data no run has are left out. */
export function renderReport(runs: readonly RunData[], options: ReportOptions = {}): string {
  const styled = withOwnLabels(runs);
  const heading = options.title ?? styled.map(run => run.label).join('\u00A0· ');
  const sections = sectionsOf(styled, options.samples);
  const page = html`<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/><title>${heading}</title>`;
  const body = html`<header><p class="kind">Sparrow report</p><h1>${heading}</h1><p class="facts-line">${factsLine(styled)}</p>${noticesOf(
    styled,
  ).map(notice => html`<p class="notice">${notice}</p>`)}${contents(sections)}</header><main>${sections.map(
    section => section.markup,
  )}</main><footer>Accuracies are percentages of the images of a set, and their differences percentage points. Densities, rates and distances of masks are fractions.</footer>`;
  return `<!DOCTYPE html>\n${page}<style>${style}</style></head><body>${body}</body></html>\n`;
}

/** Every figure of the report of these runs, in the page's order. */
export function figuresOf(runs: readonly RunData[]): Figure[] {
  return sectionsOf(withOwnLabels(runs)).flatMap(section => section.figures);
}

function sectionsOf(runs: StyledRun[], shownSamples = runs.length > 1 ? 4 : 8): Section[] {
  if (runs.length === 0) return [];
  return [
    headline(runs),
    curves(runs),
    sparsity(runs),
    layers(runs),
    weights(runs),
    masks(runs),
    samples(runs, shownSamples),
    configuration(runs),
    formulas(runs),
  ].filter(section => section !== undefined);
}

/** Links to the sections. Nothing for a page that has next to none. */
function contents(sections: Section[]): Markup | undefined {
  if (sections.length < 3) return undefined;
  return html`<nav aria-label="Sections"><ul>${sections.map(({ id, heading }) => html`<li><a href="#${id}">${heading}</a></li>`)}</ul></nav>`;
}

function factsLine(runs: StyledRun[]): string {
  const distinct = (values: unknown[]): string => [...new Set(values.filter(Boolean))].join(', ');
  const parts = [
    `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}`,
    distinct(runs.map(dataSetOf)),
    distinct(runs.map(run => run.result?.arch || run.config.arch)),
    epochsText(runs),
    distinct(runs.map(run => run.result?.adapter)),
  ];
  return parts.filter(Boolean).join('\u00A0· ');
}

/** '5 to 12 epochs', with those of Robust Bird's stage 1 '8 + 22 epochs', or beside others '22 to (8 + 22)'. Empty before one has ended. */
function epochsText(runs: StyledRun[]): string {
  const lengths = runs.map(({ stage1, metrics }) => ({ before: stage1?.epochs || 0, own: metrics.length }));
  lengths.sort((a, b) => a.before + a.own - b.before - b.own);
  const texts = lengths.map(({ before, own }) => (before > 0 ? `${before} + ${own}` : String(own)));
  const [fewest = '0', most = '0'] = [texts.at(0), texts.at(-1)];
  const range = fewest === most ? most : `${fewest} to ${most}`.replace(/\d+ \+ \d+/g, '($&)');
  return most === '0' ? '' : `${range} ${most === '1' ? 'epoch' : 'epochs'}`;
}
