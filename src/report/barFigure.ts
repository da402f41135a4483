/** Groups of horizontal bars on one scale from 0: speeds of contestants at the same work. A thin line spans the slowest and the fastest sample. */
import { scaleLinear } from 'd3-scale';
import { type Axis, colourOf, figureWidth, frame, ink, legend, px, symbol, titleHeight, xAxis } from './figure.ts';
import { shorten } from './format.ts';
import { html, type Markup } from './markup.ts';

export interface Bar {
  name: string;
  /** Which colour and symbol: a contestant keeps its own through the whole page. */
  style: number;
  value: number;
  low: number;
  high: number;
  /** Written after the value. */
  note?: string | undefined;
}

export interface BarFigure {
  title: string;
  x: Axis;
  groups: { name: string; bars: Bar[] }[];
}

const barHeight = 13;
const nameHeight = 19;
const gap = 9;
/** Room left of the bars for their symbols. */
const symbolWidth = 14;
/** Room right of the longest bar for its value. */
const labelWidth = 92;

/** Nothing where no bar has a finite value. */
export function barFigure({ title, x, groups }: BarFigure): Markup | undefined {
  const drawn = groups
    .map(group => ({ ...group, bars: group.bars.filter(bar => Number.isFinite(bar.value)) }))
    .filter(group => group.bars.length > 0);
  if (drawn.length === 0) return undefined;

  const names = new Map(drawn.flatMap(group => group.bars.map(bar => [bar.name, bar.style])));
  const key = legend(
    [...names].map(([name, style]) => ({ name, style })),
    titleHeight,
  );
  const top = titleHeight + key.height + 8;
  const largest = Math.max(...drawn.flatMap(group => group.bars.map(bar => Math.max(bar.value, bar.high))));
  const scale = scaleLinear([0, largest], [symbolWidth, figureWidth - labelWidth]);
  let y = top;
  const body = drawn.map(group => {
    const start = y;
    y += nameHeight + group.bars.length * barHeight + gap;
    const bars = group.bars.map((bar, i) => drawBar(bar, start + nameHeight + i * barHeight, scale, x));
    return html`<g><text x="0" y="${start + 14}" fill="${ink}">${shorten(group.name, 52)}</text>${bars}</g>`;
  });
  const description = drawn
    .map(({ name, bars }) => `${name}: ${bars.map(bar => `${bar.name} ${x.format(bar.value)}`).join(', ')}`)
    .join('; ');
  return frame(title, `${x.name}. ${description}.`, y + 40, [key.markup, xAxis(scale, scale.ticks(5), x, top, y), body]);
}

function drawBar({ name, style, value, low, high, note }: Bar, y: number, scale: (value: number) => number, axis: Axis): Markup {
  const middle = y + barHeight / 2;
  const end = Math.max(scale(value), scale(high));
  const spread =
    high > low && html`<line x1="${px(scale(low))}" x2="${px(scale(high))}" y1="${middle}" y2="${middle}" stroke="${ink}"/>`;
  const label = `${axis.format(value)}${note ? ` ${note}` : ''}`;
  const width = px(Math.max(scale(value) - symbolWidth, 1));
  return html`<g><title>${name}: ${label}</title>${symbol(style, symbolWidth / 2 - 1, middle)}<rect x="${symbolWidth}" y="${px(y + 1)}" width="${width}" height="${barHeight - 2}" fill="${colourOf(style)}"/>${spread}<text x="${px(end + 5)}" y="${px(middle + 4)}" font-size="11" fill="${ink}">${label}</text></g>`;
}
