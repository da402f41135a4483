/** Rows of dots on one horizontal scale: the accuracies of runs, the densities of layers. */
import { scaleLinear } from 'd3-scale';
import {
  type Axis,
  colourOf,
  type Figure,
  figureWidth,
  frame,
  ink,
  type LegendEntry,
  legend,
  px,
  symbol,
  titleHeight,
  xAxis,
} from './figure.ts';
import { shorten } from './format.ts';
import { html, type Markup } from './markup.ts';

export interface Dot {
  x: number;
  style: number;
  hollow?: boolean;
  /** What the dot is, for the one who points at it and the one who listens. */
  title: string;
}

export interface DotRow {
  name: string;
  dots: Dot[];
}

export interface DotFigure {
  title: string;
  x: Axis;
  domain: [number, number];
  rows: DotRow[];
  legend: LegendEntry[];
  rowHeight: number;
  /** Joins a row's dots by a line and writes their values above them, so. */
  dumbbell?: (value: number) => string;
}

const longestName = 22;

/** Nothing where no dot has a finite value. */
export function dotFigure(figure: DotFigure): Figure | undefined {
  const rows = figure.rows
    .map(({ name, dots }) => ({ name, dots: dots.filter(dot => Number.isFinite(dot.x)) }))
    .filter(row => row.dots.length > 0);
  if (rows.length === 0) return undefined;

  const key = legend(figure.legend, titleHeight);
  const top = titleHeight + key.height + 8;
  const bottom = top + rows.length * figure.rowHeight + 4;
  const nameWidth = Math.min(longestName, Math.max(...rows.map(row => [...row.name].length))) * 8 + 10;
  const scale = scaleLinear(figure.domain, [nameWidth, figureWidth - 14]);
  const body = rows.map((row, i) => {
    const y = top + (i + 0.5) * figure.rowHeight + 2;
    const name = shorten(row.name, longestName);
    return html`<g><text x="${px(nameWidth - 10)}" y="${px(y + 4)}" text-anchor="end" fill="${ink}">${name}${
      name !== row.name && html`<title>${row.name}</title>`
    }</text>${figure.dumbbell && bar(row.dots, scale, y)}${row.dots
      .toSorted(hollowFirst)
      .map(dot => symbol(dot.style, scale(dot.x), y, dot))}${figure.dumbbell && values(row.dots, scale, y, figure.dumbbell)}</g>`;
  });
  const description = rows.map(row => `${row.name}: ${row.dots.map(dot => dot.title).join(', ')}`).join('; ');
  return frame(figure.title, `${figure.x.name}. ${description}.`, bottom + 40, [
    key.markup,
    xAxis(scale, scale.ticks(5), figure.x, top, bottom),
    body,
  ]);
}

type Scale = ReturnType<typeof scaleLinear<number, number>>;

function bar(dots: Dot[], scale: Scale, y: number): Markup {
  const xs = dots.map(dot => scale(dot.x));
  return html`<line x1="${px(Math.min(...xs))}" x2="${px(Math.max(...xs))}" y1="${px(y)}" y2="${px(y)}" stroke="${colourOf(dots[0].style)}" stroke-width="2"/>`;
}

/** A hollow symbol is filled with paper, and would hide a filled one below it. */
const hollowFirst = (a: Dot, b: Dot): number => Number(b.hollow ?? false) - Number(a.hollow ?? false);

/** The values of a row's dots, above them, pushed apart where they would touch. */
function values(dots: Dot[], scale: Scale, y: number, format: (value: number) => string): Markup {
  const sorted = dots.toSorted((a, b) => a.x - b.x);
  const texts = sorted.map(dot => format(dot.x));
  const width = Math.max(...texts.map(text => text.length)) * 7 + 4;
  const xs = sorted.map(dot => scale(dot.x));
  for (let i = 1; i < xs.length; i++) xs[i] = Math.max(xs[i], xs[i - 1] + width);
  const beyond = Math.max(0, xs[xs.length - 1] + width / 2 - figureWidth);
  return html`${sorted.map(
    (_, i) =>
      html`<text x="${px(xs[i] - beyond)}" y="${px(y - 9)}" text-anchor="middle" fill="${ink}" font-size="11">${texts[i]}</text>`,
  )}`;
}
