/** The headline: a table of what each run reached and cost, and the accuracies as a picture. */
import { dotFigure } from '../dotFigure.ts';
import type { Figure } from '../figure.ts';
import { duration, fraction, percent, plain, points, share, si } from '../format.ts';
import { html, type Markup, type Part } from '../markup.ts';
import { runName, type Section, type StyledRun, section } from './section.ts';
import { comparable, evalLimitOf, exactness, itopRate, type Summary, summarise } from './summary.ts';

interface Row {
  name: string;
  cell: (summary: Summary, run: StyledRun) => Part;
  /** The value whose highest is marked. */
  rank?: (summary: Summary) => number;
}

const groups: { name: string; rows: Row[] }[] = [
  {
    name: 'Robust accuracy (RA), test',
    rows: [
      { name: 'best', cell: s => percent(s.best.testRa), rank: s => s.best.testRa },
      { name: 'final', cell: s => percent(s.final.testRa), rank: s => s.final.testRa },
      { name: 'difference', cell: s => points(s.difference.ra) },
    ],
  },
  {
    name: 'Standard accuracy (SA), test',
    rows: [
      { name: 'best', cell: s => percent(s.best.testSa), rank: s => s.best.testSa },
      { name: 'final', cell: s => percent(s.final.testSa), rank: s => s.final.testSa },
      { name: 'difference', cell: s => points(s.difference.sa) },
    ],
  },
  {
    name: 'Robust generalisation, final model',
    rows: [
      { name: 'train RA', cell: s => percent(s.gap.trainRa) },
      { name: 'test RA', cell: s => percent(s.gap.testRa) },
      { name: 'gap', cell: s => points(s.gap.gap) },
    ],
  },
  {
    name: 'Cost',
    rows: [
      { name: 'density', cell: s => fraction(s.density) },
      { name: 'ITOP rate', cell: (_, run) => fraction(itopRate(run.metrics.at(-1))) },
      { name: 'inference FLOPs', cell: ({ flops }) => cost(flops.inferenceReal, flops.inferenceDense) },
      { name: 'training FLOPs', cell: ({ flops }) => cost(flops.trainingReal, flops.trainingDense) },
      { name: 'best epoch', cell: s => plain(s.best.epoch) },
      { name: 'time', cell: (_, run) => duration(run.result?.seconds ?? sum(run.metrics.map(epoch => epoch.seconds))) },
    ],
  },
];

const terms: [string, string][] = [
  ['SA, RA', 'Accuracy on clean test images, and on the same images under attack.'],
  ['best, final', 'At the epoch with the highest validation RA, and at the last epoch. Test images choose nothing.'],
  ['difference', 'best \u2212 final, in percentage points; a large one in RA is robust overfitting.'],
  ['gap', 'Train RA \u2212 test RA of the final model, in percentage points.'],
  ['density', 'Fraction of the maskable weights that is kept.'],
  ['ITOP rate', 'Fraction of the maskable weights that was active at any time.'],
  ['epoch', 'Counted from 0, as in the files and the flags.'],
  [
    'FLOPs',
    'At the real density of each layer, and as a share of the dense network: one image at inference, the whole run in training.',
  ],
];

/** The table has a column a run; rows whose values no run has are left out. */
export function headline(runs: StyledRun[]): Section {
  const summaries = runs.map(summarise);
  const ranked = runs.length > 1 && comparable(runs);
  const rows = groups.map(group => rowGroup(group, runs, summaries, ranked)).filter(body => body !== undefined);
  if (rows.length === 0) return section('results', 'Results', [], html`<p>No epoch has ended yet.</p>`);
  const unfinished = runs.filter((_, i) => !summaries[i].finished);
  const table = html`<div class="scroll" tabindex="0" role="region" aria-label="Results"><table class="results" style="min-width: ${84 + 84 * runs.length}px"><thead><tr><td></td>${runs.map(
    run => html`<th scope="col">${runName(run)}</th>`,
  )}</tr></thead>${rows}</table></div>`;
  const inexact = exactness(runs.map(evalLimitOf));
  const lead = [
    ranked && html`The highest accuracy of a row is <strong>bold</strong>. `,
    inexact !== undefined && `${inexact} `,
    unfinished.length > 0 && `Not finished, counted up to the last epoch: ${unfinished.map(run => run.label).join(', ')}.`,
  ].filter(part => part !== false);
  const picture = overview(runs, summaries);
  const glossary = html`<dl class="glossary">${terms.map(([term, meaning]) => html`<dt>${term}</dt><dd>${meaning}</dd>`)}</dl>`;
  return section(
    'results',
    'Results',
    lead,
    html`<div class="pair">${table}<div>${picture}${glossary}</div></div>`,
    picture && [picture],
  );
}

function rowGroup(group: (typeof groups)[number], runs: StyledRun[], summaries: Summary[], ranked: boolean): Markup | undefined {
  const nothing = '\u2013';
  const rows = group.rows
    .map(row => ({ ...row, cells: summaries.map((summary, i) => row.cell(summary, runs[i])) }))
    .filter(row => row.cells.some(cell => cell !== nothing));
  if (rows.length === 0) return undefined;
  return html`<tbody><tr class="group"><th scope="rowgroup" colspan="${runs.length + 1}">${group.name}</th></tr>${rows.map(
    row => {
      const best = ranked ? highest(row, summaries) : undefined;
      return html`<tr><th scope="row">${row.name}</th>${row.cells.map((cell, i) =>
        best !== undefined && row.rank?.(summaries[i]) === best
          ? html`<td><strong>${cell}</strong></td>`
          : html`<td>${cell}</td>`,
      )}</tr>`;
    },
  )}</tbody>`;
}

function highest({ rank }: Row, summaries: Summary[]): number | undefined {
  const values = rank ? summaries.map(rank).filter(Number.isFinite) : [];
  return values.length > 1 ? Math.max(...values) : undefined;
}

function cost(real: number, dense: number): Part {
  if (!Number.isFinite(real) && !Number.isFinite(dense)) return si(real);
  return html`${si(real)}<small>${share(real, dense)} of ${si(dense)}</small>`;
}

function overview(runs: StyledRun[], summaries: Summary[]): Figure | undefined {
  return dotFigure({
    title: 'Final accuracy on test, clean and attacked',
    x: { name: 'accuracy (%)', format: plain },
    domain: [0, 100],
    rowHeight: 44,
    dumbbell: value => value.toFixed(1),
    legend: [
      { name: 'robust accuracy (filled)', style: runs[0].style },
      { name: 'standard accuracy (hollow)', style: runs[0].style, hollow: true },
    ],
    rows: runs.map((run, i) => ({
      name: run.label,
      dots: [
        { x: summaries[i].final.testRa * 100, style: run.style, title: `RA ${percent(summaries[i].final.testRa)}` },
        { x: summaries[i].final.testSa * 100, style: run.style, hollow: true, title: `SA ${percent(summaries[i].final.testSa)}` },
      ],
    })),
  });
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, values.length > 0 ? 0 : Number.NaN);
