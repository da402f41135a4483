/** The page of the bench: results in, one HTML file out that needs nothing else. A part for each adapter. */
import { writeFileAtomic } from '../data/files.ts';
import { FileError, UsageError } from '../errors.ts';
import { type Bar, barFigure } from './barFigure.ts';
import { type AdapterResults, type BenchRow, type Kind, type Measure, readBenchResults } from './benchResults.ts';
import { grouped, plain } from './format.ts';
import { html, type Markup } from './markup.ts';
import { convIntensity, roofAt } from './roof.ts';
import { rooflineFigure } from './rooflineFigure.ts';
import { section } from './sections/section.ts';
import { style } from './style.ts';

/**
 * Draws the results in `files` as `outFile`, whole or not at all. @returns how many rows are drawn
 * @throws UsageError without a file, FileError where one cannot be read, holds nothing to draw, or `outFile` cannot be written
 */
export function writeBenchPage(files: readonly string[], outFile: string): number {
  if (files.length === 0) throw new UsageError('--page: no results given; name at least one file that --out wrote');
  const adapters = readBenchResults(files);
  if (adapters.length === 0)
    throw new FileError(`${files.join(', ')}: nothing to draw; results of --suite conv, norm, step, limits and peers are drawn`);
  writeFileAtomic(outFile, renderBench(adapters));
  return adapters.reduce((n, a) => n + Object.values(a.rows).reduce((m, rows) => m + rows.size, 0), 0);
}

/** The results as a self-contained HTML document. */
export function renderBench(adapters: readonly AdapterResults[]): string {
  const heading = 'Speed of Sparrow';
  const head = html`<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/><title>${heading}</title>`;
  const names = adapters.map(adapter => adapter.name).join(', ');
  const body = html`<header><p class="kind">Sparrow bench</p><h1>${heading}</h1><p class="facts-line">${names}</p></header><main>${adapters.map(
    (adapter, i) => adapterSection(adapter, `adapter-${i + 1}`),
  )}</main><footer>Bars are medians; a thin line spans the slowest and the fastest sample. A factor after a value, as 4.1x: how many times as long as Sparrow the library takes, median of the turns that both took in one run.</footer>`;
  return `<!DOCTYPE html>\n${head}<style>${style}</style></head><body>${body}</body></html>\n`;
}

/** A contestant's colour and symbol: Sparrow's first, the others in order of appearance. */
type Styles = ReadonlyMap<string, number>;

function stylesOf({ rows }: AdapterResults): Styles {
  const all = Object.values(rows).flatMap(kind => [...kind.values()].flatMap(row => [...row.passes.values()].flat()));
  const names = [...new Set(['Sparrow', ...all.map(measure => measure.contestant)])];
  return new Map(names.map((name, i) => [name, i]));
}

function adapterSection(at: AdapterResults, id: string): Markup {
  const styles = stylesOf(at);
  const facts = html`<dl class="facts">${[...at.facts].map(([name, values]) => html`<div><dt>${name}</dt><dd>${[...values].join(', ')}</dd></div>`)}</dl>`;
  return section(
    id,
    at.name,
    [],
    [facts, steps(at, styles), convolutions(at, styles), norms(at, styles), limits(at), failures(at)],
  ).markup;
}

const passNames: Record<string, string> = {
  forward: 'forward',
  inputGradient: 'input gradient',
  weightGradient: 'weight gradient',
  all: 'all three passes',
};

function bars(at: AdapterResults, kind: Kind, pass: string, styles: Styles, title: string, unit: string): Markup | undefined {
  const groups = [...at.rows[kind].values()].map(row => ({ name: row.name, bars: barsOf(row, pass, styles) }));
  return barFigure({ title, x: { name: unit, format: plain3 }, groups });
}

/** In the order of the styles, so that a colour has its place. */
function barsOf(row: BenchRow, pass: string, styles: Styles): Bar[] {
  const measures = (row.passes.get(pass) ?? []).map(m => ({ ...m, name: m.contestant, style: styles.get(m.contestant)! }));
  return measures
    .toSorted((a, b) => a.style - b.style)
    .map(({ ratio, ...bar }) => ({ ...bar, note: ratio === undefined ? undefined : `(${factor(ratio)})` }));
}

/** Three significant digits. */
const plain3 = (value: number): string => (Math.abs(value) >= 1000 ? grouped(value) : plain(Number(value.toPrecision(3))));
const factor = (ratio: number): string => `${ratio >= 100 ? ratio.toFixed(0) : ratio.toPrecision(2)}x`;

function steps(at: AdapterResults, styles: Styles): Markup | undefined {
  const figure = bars(at, 'step', 'step', styles, 'Adversarial training, images a second', 'images/s');
  return (
    figure &&
    html`<h3>Adversarial training steps</h3><p class="lead">A PGD attack in train mode and one step of SGD, everything included. ${nearest(at, 'step', 'step', 'step')}</p><div class="figures">${figure}</div>`
  );
}

function convolutions(at: AdapterResults, styles: Styles): Markup | undefined {
  const draw = (pass: string) => bars(at, 'conv', pass, styles, `Convolutions, ${passNames[pass]}`, 'GFLOP/s');
  const all = draw('all');
  return (
    all &&
    html`<h3>Convolutions</h3><p class="lead">${nearest(at, 'conv', 'all', 'three passes')}</p><div class="figures">${all}${draw('forward')}${roofline(at, styles)}</div>${roofNote(at)}${convTable(at, styles)}<details><summary>The gradients alone</summary><div class="figures">${draw('inputGradient')}${draw('weightGradient')}</div></details>`
  );
}

function norms(at: AdapterResults, styles: Styles): Markup | undefined {
  const draw = (pass: string, name: string) => bars(at, 'norm', pass, styles, `Batch norm, ${name}`, 'GB/s that must be moved');
  const both = draw('all', 'forward and backward');
  return (
    both &&
    html`<h3>Batch norm in train mode</h3><p class="lead">Forward counts three times the activations, forward and backward eight times. ${nearest(at, 'norm', 'all', 'forward and backward')}</p><div class="figures">${both}${draw('forward', 'forward')}</div>`
  );
}

/** For each library that took turns: where it comes nearest to Sparrow. */
function nearest(at: AdapterResults, kind: Kind, pass: string, what: string): string {
  const found = new Map<string, { ratio: number; name: string }>();
  for (const row of at.rows[kind].values()) {
    for (const { contestant, ratio } of row.passes.get(pass) ?? []) {
      if (ratio !== undefined && ratio < (found.get(contestant)?.ratio ?? Infinity))
        found.set(contestant, { ratio, name: row.name });
    }
  }
  const several = at.rows[kind].size > 1;
  return [...found]
    .map(
      ([name, { ratio, name: where }]) =>
        `${name} takes ${several ? 'at least ' : ''}${factor(ratio)} the time of Sparrow${several ? ` (${what}, ${where})` : ''}.`,
    )
    .join(' ');
}

function roofline(at: AdapterResults, styles: Styles): Markup | undefined {
  if (!at.ceilings) return undefined;
  const points = [...at.rows.conv.values()].flatMap(({ name, sizes, passes }) =>
    (passes.get('all') ?? []).filter(inF32).map(m => ({
      contestant: m.contestant,
      style: styles.get(m.contestant)!,
      name,
      intensity: convIntensity(sizes!),
      gflops: m.value,
    })),
  );
  return rooflineFigure('Convolutions in f32 under the roof', at.ceilings, points);
}

const inF32 = ({ f32 }: Measure): boolean => f32;

/** Whose points are missing, and why. */
function roofNote({ ceilings, rows }: AdapterResults): Markup | undefined {
  const all = [...rows.conv.values()].flatMap(({ passes }) => passes.get('all') ?? []);
  const left = [...new Set(all.filter(m => !m.f32).map(m => m.contestant))];
  if (!ceilings || left.length === 0) return undefined;
  return html`<p class="note">Not under the roof, which is of f32 multiply-adds: ${left.join(', ')}. f16 and TF32 have matrix units.</p>`;
}

/** Sparrow's three passes, the share of the roof, and the factors of the others. */
function convTable(at: AdapterResults, styles: Styles): Markup {
  const rows = [...at.rows.conv.values()];
  const others = [...styles.keys()].filter(name =>
    rows.some(row => row.passes.get('all')?.some(m => m.contestant === name && m.ratio !== undefined)),
  );
  const of = (row: BenchRow, pass: string, name: string) => row.passes.get(pass)?.find(m => m.contestant === name);
  const own = (row: BenchRow, pass: string) => of(row, pass, 'Sparrow') ?? of(row, pass, 'Sparrow, tuned');
  const value = (row: BenchRow, pass: string) => {
    const found = own(row, pass);
    return html`<td>${found ? plain3(found.value) : '\u2013'}</td>`;
  };
  const share = (row: BenchRow) => {
    const all = own(row, 'all');
    const known = at.ceilings && all && row.sizes;
    return known ? `${((100 * all.value) / roofAt(at.ceilings!, convIntensity(row.sizes!))).toFixed(0)} %` : '\u2013';
  };
  const passes = Object.keys(passNames);
  return html`<details><summary>Values: Sparrow in GFLOP/s, and how many times as long the others take</summary><div class="scroll" tabindex="0" role="region" aria-label="Convolutions"><table class="values"><thead><tr><th scope="col">shape</th>${passes.map(
    pass => html`<th scope="col">${passNames[pass]}</th>`,
  )}<th scope="col">of the roof</th>${others.flatMap(name => ['forward', 'weightGradient', 'all'].map(pass => html`<th scope="col">${name}, ${passNames[pass]}</th>`))}</tr></thead><tbody>${rows.map(
    row =>
      html`<tr><th scope="row">${row.name}</th>${passes.map(pass => value(row, pass))}<td>${share(row)}</td>${others.flatMap(
        name =>
          ['forward', 'weightGradient', 'all'].map(pass => {
            const ratio = of(row, pass, name)?.ratio;
            return html`<td>${ratio === undefined ? '\u2013' : factor(ratio)}</td>`;
          }),
      )}</tr>`,
  )}</tbody></table></div></details>`;
}

function limits({ limits: found }: AdapterResults): Markup | undefined {
  if (found.length === 0) return undefined;
  return html`<h3>What the adapter can do at most</h3><dl class="facts">${found.map(
    l => html`<div><dt>${l.title}</dt><dd>${plain3(l.value)}\u00A0${l.unit.replace('us', '\u00B5s')}</dd></div>`,
  )}</dl>`;
}

function failures({ failures: found }: AdapterResults): Markup | undefined {
  if (found.size === 0) return undefined;
  return html`<h3>What other libraries could not do</h3><dl class="facts">${[...found].map(
    ([what, error]) => html`<div><dt>${what}</dt><dd>${error}</dd></div>`,
  )}</dl>`;
}
