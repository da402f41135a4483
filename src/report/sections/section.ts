/** The parts every section of the page is made of. */
import { type Figure, mark } from '../figure.ts';
import { html, type Markup, type Part } from '../markup.ts';
import type { RunData } from '../run.ts';

/** A run and its place in the page; `style` picks its colour, dash and symbol in every figure. */
export interface StyledRun extends RunData {
  style: number;
}

/** Gives each run its style and a label of its own: equal labels get their folder's name, then a number. */
export function withOwnLabels(runs: readonly RunData[]): StyledRun[] {
  const shared = (run: RunData): boolean => runs.filter(other => other.label === run.label).length > 1;
  const seen = new Map<string, number>();
  return runs.map((run, style) => {
    const label = shared(run) ? `${run.label} (${run.folder})` : run.label;
    const times = (seen.get(label) ?? 0) + 1;
    seen.set(label, times);
    return { ...run, style, label: times > 1 ? `${label} ${times}` : label };
  });
}

export interface Section {
  id: string;
  heading: string;
  markup: Markup;
  /** The figures in `markup`, to be had as files too. */
  figures: readonly Figure[];
}

/** A headed section; `lead` says in a sentence or two how to read it. */
export function section(
  id: string,
  heading: string,
  lead: readonly Part[],
  body: Part,
  figures: readonly Figure[] = [],
): Section {
  const markup = html`<section id="${id}" aria-labelledby="${id}-heading"><h2 id="${id}-heading">${heading}</h2>${lead.length > 0 && html`<p class="lead">${lead}</p>`}${body}</section>`;
  return { id, heading, markup, figures };
}

/** A run's name with its symbol before it. */
export function runName(run: StyledRun): Markup {
  return html`<span class="run">${mark(run.style)}${run.label}</span>`;
}

/** The heading of one run's part of a section; nothing where the page is about that run alone. */
export function runHeading(run: StyledRun, runs: StyledRun[]): Markup | undefined {
  return runs.length > 1 ? html`<h3>${runName(run)}</h3>` : undefined;
}

/** A figure's title where every run has a figure of its own: with the run's name, unless the page is about that run alone. */
export function titleFor(title: string, run: StyledRun, runs: readonly StyledRun[]): string {
  return runs.length > 1 ? `${title}: ${run.label}` : title;
}
