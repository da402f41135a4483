/** Small multiples: panels of outlined histograms that share a vertical axis, two beside each other. */
import { scaleLinear } from 'd3-scale';
import {
  type Axis,
  colourOf,
  dashOf,
  type Figure,
  figureWidth,
  frame,
  ink,
  type LegendEntry,
  legend,
  muted,
  px,
  rule,
  titleHeight,
} from './figure.ts';
import { shorten } from './format.ts';
import { html, type Markup } from './markup.ts';

/** One histogram of a panel: bins of equal width over [-reach, reach], a value each. */
export interface Outline {
  style: number;
  bins: number[];
  title: string;
}

export interface Panel {
  name: string;
  reach: number;
  outlines: Outline[];
}

export interface PanelFigure {
  title: string;
  /** Shared names of the axes; each panel has its own range of x. */
  x: Axis;
  y: Axis;
  panels: Panel[];
  legend: LegendEntry[];
  /** The top of every panel's y axis, which begins at zero. */
  highest: number;
  /** Panels beside each other: 2 by default. */
  columns?: number;
}

const left = 48;
const gap = 18;

/** Nothing where no panel has an outline. */
export function panelFigure(figure: PanelFigure): Figure | undefined {
  const panels = figure.panels.filter(panel => panel.outlines.length > 0);
  if (panels.length === 0 || !(figure.highest > 0)) return undefined;
  const { columns = 2, x, y } = figure;
  const key = legend(figure.legend, titleHeight);
  const top = titleHeight + key.height + 8;
  const width = (figureWidth - left - 6 - gap * (columns - 1)) / columns;
  const height = columns === 1 ? 190 : 78;
  const named = panels.some(panel => panel.name !== '');
  const rowHeight = height + 26 + (named ? 18 : 0);
  const rows = Math.ceil(panels.length / columns);
  const bottom = top + rows * rowHeight;
  const yScale = scaleLinear([0, figure.highest], [height, 0]).nice(columns === 1 ? 5 : 3);
  const body = panels.map((panel, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const at = [left + column * (width + gap), top + row * rowHeight + (named ? 18 : 0)];
    return html`<g transform="translate(${px(at[0])} ${px(at[1])})">${drawPanel(panel, figure, width, yScale, column === 0)}</g>`;
  });
  const description = panels.map(({ name, outlines }) => `${name}: ${outlines.map(o => o.title).join(', ')}`).join('; ');
  return frame(figure.title, `${y.name} against ${x.name}. ${description}.`, bottom + 20, [
    key.markup,
    body,
    html`<text x="${px((left + figureWidth) / 2)}" y="${px(bottom + 12)}" text-anchor="middle" fill="${ink}">${x.name}</text><text transform="translate(11 ${px((top + bottom) / 2)}) rotate(-90)" text-anchor="middle" fill="${ink}">${y.name}</text>`,
  ]);
}

type Scale = ReturnType<typeof scaleLinear<number, number>>;

/** A panel at the origin, its name above; only the first of a row has numbers at its y axis. */
function drawPanel(
  { name, reach, outlines }: Panel,
  { x, y }: PanelFigure,
  width: number,
  yScale: Scale,
  first: boolean,
): Markup {
  const [height] = yScale.range();
  const xScale = scaleLinear([-reach, reach], [0, width]);
  const round = xScale.ticks(5).findLast(tick => tick < 0.85 * reach)!; // clear of the next panel's numbers
  const label = shorten(name, 24);
  const heading =
    name !== '' &&
    html`<text y="-6" font-size="11" font-weight="600" fill="${ink}">${label}${label !== name && html`<title>${name}</title>`}</text>`;
  const lines = yScale.ticks(height > 100 ? 5 : 3).map(tick => {
    const at = px(yScale(tick));
    const number = html`<text x="-5" y="${at + 4}" font-size="11" text-anchor="end" fill="${muted}">${y.format(tick)}</text>`;
    return html`<line x2="${px(width)}" y1="${at}" y2="${at}" stroke="${rule}"/>${first && number}`;
  });
  const numbers = [-round, 0, round].map(tick => {
    const at = px(xScale(tick));
    return html`<line x1="${at}" x2="${at}" y1="${height}" y2="${height + 4}" stroke="${muted}"/><text x="${at}" y="${height + 15}" font-size="11" text-anchor="middle" fill="${muted}">${x.format(tick)}</text>`;
  });
  const axis = html`<line x2="${px(width)}" y1="${height}" y2="${height}" stroke="${muted}"/>`;
  return html`${heading}${lines}${axis}${numbers}${outlines.map(outline => drawOutline(outline, xScale, yScale))}`;
}

/** The upper edge of the bars, as one path. */
function drawOutline({ style, bins, title }: Outline, xScale: Scale, yScale: Scale): Markup {
  const [from, to] = xScale.domain();
  const edge = (bin: number): number => px(xScale(from + ((to - from) * bin) / bins.length));
  const steps = bins.map((value, bin) => `V${px(yScale(value))}H${edge(bin + 1)}`).join('');
  const path = `M${edge(0)} ${px(yScale(0))}${steps}V${px(yScale(0))}`;
  return html`<path d="${path}" fill="none" stroke="${colourOf(style)}" stroke-width="1.5" stroke-dasharray="${dashOf(style)}"><title>${title}</title></path>`;
}
