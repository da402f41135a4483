/** Learning curves, and the numbers behind them. One run: its sets in one figure. Several: a figure a quantity with a line a run. */
import type { Figure } from '../figure.ts';
import { decimals, fraction, percent, plain } from '../format.ts';
import { type DecisionMark, lineFigure, type Series } from '../lineFigure.ts';
import { html, type Markup } from '../markup.ts';
import type { EpochMetrics } from '../run.ts';
import { runName, type Section, type StyledRun, section } from './section.ts';
import { followsDeathRate } from './sparsity.ts';
import { itopRate, summarise } from './summary.ts';

interface Quantity {
  /** Of which images; empty where the family has this quantity alone. */
  set: string;
  of: (epoch: EpochMetrics) => number;
  /** The accuracy on training batches is robust only where training is adversarial. */
  adversarial?: boolean;
  /** In a figure of one run: carries its marks. */
  marked?: boolean;
}

interface Family {
  name: string;
  axis: string;
  /** Factor from the metric to the axis: 100 for percent. */
  factor: number;
  /** Shows what Flying Bird+ decides by, and so when it decided what. */
  decides?: boolean;
  quantities: Quantity[];
}

const families: Family[] = [
  {
    name: 'Robust accuracy',
    axis: 'robust accuracy (%)',
    factor: 100,
    quantities: [
      { set: 'test', of: epoch => epoch.testRa },
      { set: 'validation', of: epoch => epoch.valRa, marked: true },
      { set: 'train', of: epoch => epoch.trainRa, adversarial: true },
    ],
  },
  {
    name: 'Robust generalisation gap',
    axis: 'gap (percentage points)',
    factor: 100,
    decides: true,
    quantities: [{ set: '', of: epoch => epoch.trainRa - epoch.testRa, adversarial: true, marked: true }],
  },
  {
    name: 'Standard accuracy',
    axis: 'standard accuracy (%)',
    factor: 100,
    quantities: [
      { set: 'test', of: epoch => epoch.testSa },
      { set: 'validation', of: epoch => epoch.valSa, marked: true },
    ],
  },
  {
    name: 'Loss under attack',
    axis: 'cross-entropy (nats)',
    factor: 1,
    decides: true,
    quantities: [{ set: 'validation', of: epoch => epoch.valLoss, marked: true }],
  },
];

/** Nothing where no run has metrics. */
export function curves(runs: StyledRun[]): Section | undefined {
  const figures = families
    .flatMap(runs.length === 1 ? family => [oneRun(family, runs[0])] : family => manyRuns(family, runs))
    .filter(figure => figure !== undefined);
  if (figures.length === 0) return undefined;
  const adversarial = runs.some(isAdversarial);
  const decided = runs.some(run => decisionsOf(run).length > 0);
  const lead = [
    'A ring marks a run’s best epoch, by validation RA.',
    ...beginnings(runs),
    decided &&
      ` Triangles below the curves of ${adversarial ? 'the gap and of the loss' : 'the loss'} mark the epochs in which Flying Bird+ decided to prune or to grow further.`,
    runs.length > 1 &&
      ` An accuracy’s figures of test and validation share a scale${adversarial ? '; RA on train has its own' : ''}.`,
    adversarial &&
      ' RA on train, and with it the gap of an epoch, is that of the training batches as training saw them: augmented, where a run augments, and under the training attack. The table’s gap is that of the final model, by the same attack on both sets.',
  ];
  return section(
    'curves',
    'Learning curves',
    lead,
    html`<div class="figures">${figures}</div>${runs.map(run => valueTable(run, runs))}`,
    figures,
  );
}

/** With what stage 2 of Robust Bird begins, whose curves are shown: a sentence for the runs that begin alike. */
function beginnings(runs: StyledRun[]): string[] {
  const all = runs.map(({ stage1 }) => stage1 && beginningOf(stage1));
  return [...new Set(all)].filter(Boolean).map(beginning => {
    const names = runs.filter((_, i) => all[i] === beginning).map(run => run.label);
    return ` The curves of ${names.join(', ')} are those of stage 2, which begins with ${beginning}.`;
  });
}

function beginningOf({ mode, epochs }: NonNullable<StyledRun['stage1']>): string {
  if (mode === '') return 'a network that was trained before';
  const how = Number.isFinite(epochs) ? `after ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} of` : 'by';
  return `the network of stage 1 ${how} ${mode}`;
}

function oneRun(family: Family, run: StyledRun): Figure | undefined {
  const series = family.quantities.map((quantity, i) => ({
    name: quantity.set || 'train RA − test RA',
    style: i,
    points: pointsOf(run, quantity, family.factor),
    ...(quantity.marked && marksOf(run, family)),
  }));
  const [{ set }] = family.quantities;
  return draw(family.quantities.length > 1 || set === '' ? family.name : `${family.name}, ${set}`, family, series);
}

function manyRuns(family: Family, runs: StyledRun[]): (Figure | undefined)[] {
  const seriesOf = (quantity: Quantity): Series[] =>
    runs.map(run => ({
      name: run.label,
      style: run.style,
      points: pointsOf(run, quantity, family.factor),
      ...marksOf(run, family),
    }));
  const compared = family.quantities.filter(({ set }) => set !== 'train');
  const shared = compared.flatMap(seriesOf).flatMap(({ points }) => points.map(([, y]) => y));
  return family.quantities.map(quantity => {
    const { set } = quantity;
    const title = set === '' ? family.name : `${family.name}, ${set}`;
    return draw(title, family, seriesOf(quantity), compared.includes(quantity) ? shared.filter(Number.isFinite) : undefined);
  });
}

function draw(title: string, family: Family, series: Series[], yValues?: number[]): Figure | undefined {
  return lineFigure({
    title,
    x: { name: 'epoch', format: String },
    y: { name: family.axis, format: value => plain(value) },
    series,
    yValues,
  });
}

const isAdversarial = (run: StyledRun): boolean => (run.result?.mode || run.config.mode) !== 'sgd';

const pointsOf = (run: StyledRun, { of, adversarial }: Quantity, factor: number): [number, number][] =>
  adversarial && !isAdversarial(run) ? [] : run.metrics.map(epoch => [epoch.epoch, of(epoch) * factor]);

const marksOf = (run: StyledRun, { decides }: Family): Pick<Series, 'ring' | 'decisions'> => ({
  ring: summarise(run).best.epoch,
  ...(decides && { decisions: decisionsOf(run) }),
});

/** One mark for each decision of an epoch, however many of its updates took it. */
function decisionsOf({ metrics }: StyledRun): DecisionMark[] {
  return metrics.flatMap(({ epoch, events = [] }) =>
    (['prune', 'grow'] as const).flatMap(decision => {
      const taken = events.filter(event => event[decision]).map(event => plain(event.iteration));
      const title = `decided to ${decision} further at iteration ${taken.join(', ')} (epoch ${epoch})`;
      return taken.length > 0 ? [{ x: epoch, decision, title }] : [];
    }),
  );
}

interface Column {
  name: string;
  text: (epoch: EpochMetrics) => string;
}

const metric = (key: Exclude<keyof EpochMetrics, 'layers' | 'events'>, name: string, format: (v: number) => string): Column => ({
  name,
  text: epoch => format(epoch[key]),
});

const columnsOf = (run: StyledRun): Column[] => [
  metric('epoch', 'epoch', plain),
  metric('trainRa', isAdversarial(run) ? 'train RA' : 'train accuracy', percent),
  metric('valRa', 'val. RA', percent),
  metric('testRa', 'test RA', percent),
  metric('valSa', 'val. SA', percent),
  metric('testSa', 'test SA', percent),
  metric('valLoss', 'val. loss', value => decimals(value, 4)),
  metric('lr', 'lr', plain),
  metric('density', 'density', fraction),
  ...(followsDeathRate(run) ? [metric('deathRate', 'death rate r', fraction)] : []),
  { name: 'ITOP rate', text: epoch => fraction(itopRate(epoch)) },
  metric('maskDistance', 'mask distance', fraction),
  metric('imagesPerSecond', 'images/s', value => decimals(value, 1)),
  metric('seconds', 'seconds', value => decimals(value, 1)),
  { name: 'mask updates', text: ({ events = [] }) => events.map(updateText).join(', ') }, // last: the widest
];

/** '704 (prune, grow)': the iteration, and what was decided. */
function updateText({ iteration, prune, grow }: NonNullable<EpochMetrics['events']>[number]): string {
  const decided = [prune && 'prune', grow && 'grow'].filter(Boolean).join(', ');
  return plain(iteration) + (decided && ` (${decided})`);
}

/** Every epoch's numbers, folded away; columns that were never measured are left out. */
function valueTable(run: StyledRun, runs: StyledRun[]): Markup | undefined {
  const shown = columnsOf(run).filter(({ text }) => run.metrics.some(epoch => !['', '\u2013'].includes(text(epoch))));
  if (shown.length === 0) return undefined;
  return html`<details><summary>Values per epoch${runs.length > 1 && html`: ${runName(run)}`}</summary><div class="scroll" tabindex="0" role="region" aria-label="Values per epoch of ${run.label}"><table class="values"><thead><tr>${shown.map(
    column => html`<th scope="col">${column.name}</th>`,
  )}</tr></thead><tbody>${run.metrics.map(
    epoch =>
      html`<tr>${shown.map(({ name, text }) => (name === 'epoch' ? html`<th scope="row">${text(epoch)}</th>` : html`<td>${text(epoch)}</td>`))}</tr>`,
  )}</tbody></table></div></details>`;
}
