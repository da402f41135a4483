/** Density of each layer, at the end and over time: which parts of the network a mask thins out. */
import { dotFigure } from '../dotFigure.ts';
import type { Figure } from '../figure.ts';
import { fraction, grouped, plain } from '../format.ts';
import { heatFigure } from '../heatFigure.ts';
import { html, type Markup } from '../markup.ts';
import type { LayerCount, RunData } from '../run.ts';
import { runName, type Section, type StyledRun, section, titleFor } from './section.ts';

/** The layers' counts from the masks themselves or, without a checkpoint, from the last epoch that logged them. */
export function layerCounts({ masks, metrics }: Pick<RunData, 'masks' | 'metrics'>): LayerCount[] {
  if (masks.length > 0) return masks.map(({ name, keep }) => ({ name, nnz: count(keep), size: keep.length }));
  return metrics.findLast(epoch => epoch.layers)?.layers ?? [];
}

const densityAxis = 'density (fraction of the weights kept)';

/** Nothing where no run has masks. */
export function layers(runs: StyledRun[]): Section | undefined {
  const masked = runs.map(run => ({ run, counts: layerCounts(run) })).filter(({ counts }) => counts.length > 0);
  const names = [...new Set(masked.flatMap(({ counts }) => counts.map(layer => layer.name)))];
  const comparison = dotFigure({
    title: 'Density of each layer, from input to output',
    x: { name: densityAxis, format: plain },
    domain: [0, 1],
    rowHeight: 19,
    legend: masked.map(({ run }) => ({ name: run.label, style: run.style })),
    rows: names.map(name => ({
      name: layerName(name),
      dots: masked.flatMap(({ run, counts }) =>
        counts
          .filter(layer => layer.name === name)
          .map(({ nnz, size }) => ({
            x: nnz / size,
            style: run.style,
            title: `${run.label}: ${fraction(nnz / size)}, ${plain(nnz)} of ${plain(size)} weights`,
          })),
      ),
    })),
  });
  if (!comparison) return undefined;
  const overTime = masked.map(({ run }) => densityMap(run, runs)).filter(figure => figure !== undefined);
  const changing = overTime.length > 0 && html`<h3>Epoch by epoch</h3><div class="figures">${overTime}</div>`;
  const lead =
    overTime.length > 0
      ? ['Where a density has changed, the table also has the one after the first epoch.']
      : ['The layers of these masks keep their densities from the first epoch to the last.'].filter(() => masked.some(logged));
  return section(
    'layers',
    'Density per layer',
    lead,
    [html`<div class="pair">${table(names, masked)}${comparison}</div>`, changing],
    [comparison, ...overTime],
  );
}

interface Masked {
  run: StyledRun;
  counts: LayerCount[];
}

const logged = ({ run }: Masked): boolean => run.metrics.some(epoch => epoch.layers);

/** Epochs that logged their layers, with the density of each layer by name. */
function densitiesOf({ metrics }: StyledRun): { epoch: number; densities: Map<string, number> }[] {
  return metrics.flatMap(({ epoch, layers: logged }) =>
    logged && Number.isFinite(epoch) ? [{ epoch, densities: new Map(logged.map(l => [l.name, l.nnz / l.size])) }] : [],
  );
}

/** Layers by epochs; nothing where no layer's density changes. */
function densityMap(run: StyledRun, runs: StyledRun[]): Figure | undefined {
  const epochs = densitiesOf(run);
  const names = [...(epochs[0]?.densities.keys() ?? [])];
  const cells = names.map(name => epochs.map(({ densities }) => densities.get(name) ?? Number.NaN));
  if (cells.every(row => row.every(value => value === row[0]))) return undefined;
  const [from, to] = [0, -1].map(at => cells.map(row => row.at(at)!));
  const moved = names.map((name, i) => `${layerName(name)} from ${fraction(from[i])} to ${fraction(to[i])}`);
  return heatFigure({
    title: titleFor('Density of each layer by epoch', run, runs),
    x: { name: 'epoch', format: plain, values: epochs.map(({ epoch }) => epoch) },
    y: { name: 'layer', names: names.map(layerName) },
    cells,
    colour: { name: densityAxis, format: plain, domain: [0, 1] },
    description: `Density of ${names.length} layers over ${epochs.length} epochs: ${moved.join('; ')}.`,
  });
}

/**
 * The numbers behind the figures: a row a layer, a column a run, the network's total below. A size in which the runs differ stands in
 * each cell.
 */
function table(names: string[], masked: Masked[]): Markup {
  const starts = masked.map(({ run }) => run.metrics.find(epoch => epoch.layers)?.layers);
  const cell = (layer: Kept | undefined, size: number | undefined, start: Kept | undefined): Markup => {
    if (!layer) return html`<td>\u2013</td>`;
    const [before, density] = [start, layer].map(kept => kept && fraction(kept.nnz / kept.size));
    return html`<td>${grouped(layer.nnz)}${size === undefined && ` of ${grouped(layer.size)}`}<small>${density}</small>${before && before !== density && html`<small>from ${before}</small>`}</td>`;
  };
  const cells = (of: (layers: LayerCount[]) => Kept | undefined): Markup => {
    const layers = masked.map(({ counts }) => of(counts));
    const size = sharedSize(layers);
    return html`<td>${grouped(size)}</td>${layers.map((layer, i) => cell(layer, size, starts[i] && of(starts[i])))}`;
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Weights kept in each layer"><table class="layers"><thead><tr><th scope="col">layer</th><th scope="col">weights</th>${masked.map(
    ({ run }) => html`<th scope="col">${runName(run)}</th>`,
  )}</tr></thead><tbody>${names.map(
    name => html`<tr><th scope="row">${layerName(name)}</th>${cells(layers => layers.find(layer => layer.name === name))}</tr>`,
  )}</tbody><tfoot><tr><th scope="row">all</th>${cells(total)}</tr></tfoot></table></div>`;
}

type Kept = Omit<LayerCount, 'name'>;

/** The size that all runs with a layer have it in; nothing where they differ. */
function sharedSize(layers: (Kept | undefined)[]): number | undefined {
  const [size, ...others] = new Set(layers.flatMap(layer => (layer ? [layer.size] : [])));
  return others.length > 0 ? undefined : size;
}

const total = (layers: LayerCount[]): Kept => {
  const sum = (of: (layer: LayerCount) => number): number => layers.reduce((sum, layer) => sum + of(layer), 0);
  return { nnz: sum(layer => layer.nnz), size: sum(layer => layer.size) };
};

/** 'layer1.0.conv1.weight' -> 'layer1.0.conv1': every masked parameter is a weight. */
export const layerName = (name: string): string => name.replace(/(?<=.)\.weight$/, '');

function count(keep: ArrayLike<number>): number {
  let kept = 0;
  for (let i = 0; i < keep.length; i++) if (keep[i] !== 0) kept++;
  return kept;
}
