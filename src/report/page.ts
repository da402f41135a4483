/** The page: runs in, one HTML file out that needs nothing else, neither network nor script. */
import { plain } from './format.ts';
import { html } from './markup.ts';
import type { RunData } from './run.ts';
import { configuration, formulas } from './sections/configuration.ts';
import { curves } from './sections/curves.ts';
import { headline } from './sections/headline.ts';
import { layers } from './sections/layers.ts';
import { masks } from './sections/masks.ts';
import { samples } from './sections/samples.ts';
import type { StyledRun } from './sections/section.ts';
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
  const page = html`<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/><title>${heading}</title>`;
  const body = html`<header><p class="kind">Sparrow report</p><h1>${heading}</h1><p class="facts-line">${factsLine(styled)}</p></header><main>${
    styled.length > 0 && [
      headline(styled),
      curves(styled),
      layers(styled),
      masks(styled),
      samples(styled, options.samples ?? (styled.length > 1 ? 4 : 8)),
      configuration(styled),
      formulas(styled),
    ]
  }</main><footer>Accuracies are percentages of the images of a set; differences are percentage points.</footer>`;
  return `<!DOCTYPE html>\n${page}<style>${style}</style></head><body>${body}</body></html>\n`;
}

/** Gives each run its style and a label of its own: equal labels get their folder's name, then a number. */
function withOwnLabels(runs: readonly RunData[]): StyledRun[] {
  const shared = (run: RunData): boolean => runs.filter(other => other.label === run.label).length > 1;
  const seen = new Map<string, number>();
  return runs.map((run, style) => {
    const label = shared(run) ? `${run.label} (${run.folder})` : run.label;
    const times = (seen.get(label) ?? 0) + 1;
    seen.set(label, times);
    return { ...run, style, label: times > 1 ? `${label} ${times}` : label };
  });
}

function factsLine(runs: StyledRun[]): string {
  const distinct = (values: unknown[]): string => [...new Set(values.filter(Boolean))].join(', ');
  const epochs = Math.max(0, ...runs.map(run => run.metrics.length));
  const parts = [
    `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}`,
    distinct(runs.map(run => run.result?.dataset || run.config.dataset)),
    distinct(runs.map(run => run.result?.arch || run.config.arch)),
    epochs > 0 && `${plain(epochs)} ${epochs === 1 ? 'epoch' : 'epochs'}`,
    distinct(runs.map(run => run.result?.adapter)),
  ];
  return parts.filter(Boolean).join('\u00A0· ');
}
