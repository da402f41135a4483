/** Learning curves, and the numbers behind them. One run: its sets in one figure. Several: a figure a quantity with a line a run. */
import { percent, plain } from '../format.ts';
import { lineFigure, type Series } from '../lineFigure.ts';
import { html, type Markup } from '../markup.ts';
import type { EpochMetrics } from '../run.ts';
import { runName, type StyledRun, section } from './section.ts';
import { summarise } from './summary.ts';

type Key = Exclude<keyof EpochMetrics, 'layers'>;

interface Quantity {
  key: Key;
  /** Of which images. */
  set: string;
}

interface Family {
  name: string;
  axis: string;
  /** Factor from the metric to the axis: 100 for percent. */
  factor: number;
  quantities: Quantity[];
}

const families: Family[] = [
  {
    name: 'Robust accuracy',
    axis: 'robust accuracy (%)',
    factor: 100,
    quantities: [
      { key: 'testRa', set: 'test' },
      { key: 'valRa', set: 'validation' },
      { key: 'trainRa', set: 'train' },
    ],
  },
  {
    name: 'Standard accuracy',
    axis: 'standard accuracy (%)',
    factor: 100,
    quantities: [
      { key: 'testSa', set: 'test' },
      { key: 'valSa', set: 'validation' },
    ],
  },
  { name: 'Loss under attack', axis: 'cross-entropy (nats)', factor: 1, quantities: [{ key: 'valLoss', set: 'validation' }] },
];

/** Nothing where no run has metrics. */
export function curves(runs: StyledRun[]): Markup | undefined {
  const figures = families.flatMap(runs.length === 1 ? family => oneRun(family, runs[0]) : family => manyRuns(family, runs));
  if (figures.every(figure => figure === undefined)) return undefined;
  const lead = html`A ring marks a run's best epoch, by validation RA.${runs.length > 1 && html` Figures of the same accuracy share their scale.`}`;
  return section(
    'curves',
    'Learning curves',
    [lead],
    html`<div class="figures">${figures}</div>${runs.map(run => valueTable(run, runs))}`,
  );
}

function oneRun(family: Family, run: StyledRun): (Markup | undefined)[] {
  const ring = summarise(run).best.epoch;
  const series = family.quantities.map(({ key, set }, i) => ({
    name: set,
    style: i,
    points: pointsOf(run, key, family.factor),
    ring: key === 'valRa' ? ring : undefined,
  }));
  const title = family.quantities.length > 1 ? family.name : `${family.name}, ${family.quantities[0].set}`;
  return [draw(title, family, series)];
}

function manyRuns(family: Family, runs: StyledRun[]): (Markup | undefined)[] {
  const values = runs
    .flatMap(run => family.quantities.flatMap(({ key }) => pointsOf(run, key, family.factor).map(point => point[1])))
    .filter(Number.isFinite);
  return family.quantities.map(({ key, set }) => {
    const series = runs.map(run => ({
      name: run.label,
      style: run.style,
      points: pointsOf(run, key, family.factor),
      ring: summarise(run).best.epoch,
    }));
    return draw(`${family.name}, ${set}`, family, series, values);
  });
}

function draw(title: string, family: Family, series: Series[], yValues?: number[]): Markup | undefined {
  return lineFigure({
    title,
    x: { name: 'epoch', format: String },
    y: { name: family.axis, format: value => plain(value) },
    series,
    yValues,
  });
}

const pointsOf = ({ metrics }: StyledRun, key: Key, factor: number): [number, number][] =>
  metrics.map(epoch => [epoch.epoch, epoch[key] * factor]);

const columns: { key: Key; name: string; format: (value: number) => string }[] = [
  { key: 'epoch', name: 'epoch', format: plain },
  { key: 'trainRa', name: 'train RA', format: percent },
  { key: 'valRa', name: 'val. RA', format: percent },
  { key: 'testRa', name: 'test RA', format: percent },
  { key: 'valSa', name: 'val. SA', format: percent },
  { key: 'testSa', name: 'test SA', format: percent },
  { key: 'valLoss', name: 'val. loss', format: plain },
  { key: 'lr', name: 'lr', format: plain },
  { key: 'density', name: 'density', format: percent },
  { key: 'deathRate', name: 'death rate', format: plain },
  { key: 'fired', name: 'fired', format: plain },
  { key: 'imagesPerSecond', name: 'images/s', format: plain },
  { key: 'seconds', name: 'seconds', format: plain },
];

/** Every epoch's numbers, folded away; columns that were never measured are left out. */
function valueTable(run: StyledRun, runs: StyledRun[]): Markup | undefined {
  const shown = columns.filter(({ key }) => run.metrics.some(epoch => Number.isFinite(epoch[key])));
  if (shown.length === 0) return undefined;
  return html`<details><summary>Values per epoch${runs.length > 1 && html`: ${runName(run)}`}</summary><div class="scroll" tabindex="0" role="region" aria-label="Values per epoch of ${run.label}"><table class="values"><thead><tr>${shown.map(
    column => html`<th scope="col">${column.name}</th>`,
  )}</tr></thead><tbody>${run.metrics.map(
    epoch => html`<tr>${shown.map(({ key, format }) => html`<td>${format(epoch[key])}</td>`)}</tr>`,
  )}</tbody></table></div></details>`;
}
