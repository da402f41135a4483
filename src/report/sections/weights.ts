/** Histograms of the active weights: all of a network's, and layer by layer. */
import type { Figure } from '../figure.ts';
import { grouped, percent, plain } from '../format.ts';
import { activeWeights, bins, histogram, reachOf } from '../histogram.ts';
import { html } from '../markup.ts';
import { type Panel, panelFigure } from '../panelFigure.ts';
import { layerName } from './layers.ts';
import { type Section, type StyledRun, section } from './section.ts';

/** Layers of one figure; the next ones have a figure of their own. */
const panelsPerFigure = 8;

interface ActiveLayers {
  run: StyledRun;
  layers: Map<string, Float32Array>;
}

/** Nothing where no run has a checkpoint. */
export function weights(runs: StyledRun[]): Section | undefined {
  const active = runs.map(activeLayers).filter(({ layers }) => layers.size > 0);
  if (active.length === 0) return undefined;
  const names = layerNames(active);
  const whole = draw('Active weights of the whole network', active, 1, [
    panel(
      '',
      active.map(({ run, layers }) => ({ run, values: [...layers.values()] })),
    ),
  ]);
  const panels = names.map(name =>
    panel(
      layerName(name),
      active.flatMap(({ run, layers }) => (layers.has(name) ? [{ run, values: [layers.get(name)!] }] : [])),
    ),
  );
  const parts = Math.ceil(panels.length / panelsPerFigure);
  const byLayer = Array.from({ length: parts }, (_, i) => {
    const title = `Active weights by layer${parts > 1 ? `, ${i + 1} of ${parts}` : ''}`;
    return draw(title, active, 2, panels.slice(i * panelsPerFigure, (i + 1) * panelsPerFigure));
  }).filter(figure => figure !== undefined);
  const figures = [...(whole ? [whole] : []), ...byLayer];
  if (figures.length === 0) return undefined;
  const lead = `Weights of convolutions and linear layers in the last checkpoint, those that a mask drops left out, as shares of all in each of ${bins} bins. What lies beyond four root mean squares is counted in the outermost bins.`;
  const folded = byLayer.length > 0 && html`<details><summary>By layer</summary><div class="figures">${byLayer}</div></details>`;
  return section('weights', 'Weights', [lead], html`<div class="figures">${whole}</div>${folded}`, figures);
}

/** Every layer once, from input to output: a masked run logs its layers in that order, others have them by name. */
function layerNames(active: ActiveLayers[]): string[] {
  const ordered = active.toSorted((a, b) => Number(b.run.masks.length > 0) - Number(a.run.masks.length > 0));
  return [...new Set(ordered.flatMap(({ layers }) => [...layers.keys()]))];
}

function activeLayers(run: StyledRun): ActiveLayers {
  const masks = new Map(run.masks.map(mask => [mask.name, mask]));
  return { run, layers: new Map(run.weights.map(layer => [layer.name, activeWeights(layer, masks.get(layer.name))])) };
}

/** The runs' histograms over one range: the widest of theirs. Runs without an active weight have none. */
function panel(name: string, parts: { run: StyledRun; values: Float32Array[] }[]): Panel {
  const filled = parts.filter(({ values }) => values.some(part => part.length > 0));
  const reach = Math.max(0, ...filled.map(({ values }) => reachOf(values)));
  const outlines = filled.map(({ run, values }) => {
    const count = values.reduce((sum, part) => sum + part.length, 0);
    const shares = histogram(values, reach).map(share => share * 100);
    return {
      style: run.style,
      bins: shares,
      title: `${run.label}: ${grouped(count)} weights, at most ${percent(Math.max(...shares) / 100, 1)} in a bin`,
    };
  });
  return { name, reach, outlines };
}

function draw(title: string, active: ActiveLayers[], columns: number, panels: Panel[]): Figure | undefined {
  return panelFigure({
    title,
    columns,
    x: { name: 'weight', format: plain },
    y: { name: 'share in a bin (%)', format: plain },
    panels,
    legend: active.map(({ run }) => ({ name: run.label, style: run.style, line: 'bare' })),
    highest: Math.max(0, ...panels.flatMap(({ outlines }) => outlines.flatMap(({ bins }) => bins))),
  });
}
