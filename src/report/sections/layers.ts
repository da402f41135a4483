/** Density of each layer: which parts of the network a mask thins out. */
import { dotFigure } from '../dotFigure.ts';
import { grouped, percent, plain } from '../format.ts';
import { html, type Markup } from '../markup.ts';
import type { LayerCount, RunData } from '../run.ts';
import { runName, type StyledRun, section } from './section.ts';

/** The layers' counts from the masks themselves or, without a checkpoint, from the last epoch that logged them. */
export function layerCounts({ masks, metrics }: Pick<RunData, 'masks' | 'metrics'>): LayerCount[] {
  if (masks.length > 0) return masks.map(({ name, keep }) => ({ name, nnz: count(keep), size: keep.length }));
  return metrics.findLast(epoch => epoch.layers)?.layers ?? [];
}

/** Nothing where no run has masks. */
export function layers(runs: StyledRun[]): Markup | undefined {
  const masked = runs.map(run => ({ run, counts: layerCounts(run) })).filter(({ counts }) => counts.length > 0);
  const names = [...new Set(masked.flatMap(({ counts }) => counts.map(layer => layer.name)))];
  const figure = dotFigure({
    title: 'Density of each layer, from input to output',
    x: { name: 'weights kept (%)', format: plain },
    domain: [0, 100],
    rowHeight: 19,
    legend: masked.map(({ run }) => ({ name: run.label, style: run.style })),
    rows: names.map(name => ({
      name: layerName(name),
      dots: masked.flatMap(({ run, counts }) =>
        counts
          .filter(layer => layer.name === name)
          .map(({ nnz, size }) => ({
            x: (nnz / size) * 100,
            style: run.style,
            title: `${run.label}: ${percent(nnz / size)}, ${plain(nnz)} of ${plain(size)} weights`,
          })),
      ),
    })),
  });
  return figure && section('layers', 'Density per layer', [], html`<div class="pair">${table(names, masked)}${figure}</div>`);
}

interface Masked {
  run: StyledRun;
  counts: LayerCount[];
}

/** The numbers behind the figure: a row a layer, a column a run, the network's total below. */
function table(names: string[], masked: Masked[]): Markup {
  const sizes = new Map(masked.flatMap(({ counts }) => counts.map(layer => [layer.name, layer.size])));
  const totals = masked.map(({ counts }) => ({ nnz: total(counts.map(l => l.nnz)), size: total(counts.map(l => l.size)) }));
  const cell = (layer: Omit<LayerCount, 'name'> | undefined): Markup =>
    layer ? html`<td>${grouped(layer.nnz)}<small>${percent(layer.nnz / layer.size)}</small></td>` : html`<td>\u2013</td>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Weights kept in each layer"><table class="layers"><thead><tr><th scope="col">layer</th><th scope="col">weights</th>${masked.map(
    ({ run }) => html`<th scope="col">${runName(run)}</th>`,
  )}</tr></thead><tbody>${names.map(
    name =>
      html`<tr><th scope="row">${layerName(name)}</th><td>${grouped(sizes.get(name))}</td>${masked.map(({ counts }) => cell(counts.find(layer => layer.name === name)))}</tr>`,
  )}</tbody><tfoot><tr><th scope="row">all</th><td>${grouped(Math.max(...totals.map(t => t.size)))}</td>${totals.map(cell)}</tr></tfoot></table></div>`;
}

const total = (values: number[]): number => values.reduce((sum, value) => sum + value, 0);

/** 'layer1.0.conv1.weight' -> 'layer1.0.conv1': every masked parameter is a weight. */
export const layerName = (name: string): string => name.replace(/(?<=.)\.weight$/, '');

function count(keep: ArrayLike<number>): number {
  let kept = 0;
  for (let i = 0; i < keep.length; i++) if (keep[i] !== 0) kept++;
  return kept;
}
