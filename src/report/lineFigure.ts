/** Curves over epochs: one line a series, symbols along it so that lines stay apart without colour. */
import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import {
  type Axis,
  colourOf,
  type Decision,
  dashOf,
  decisionSign,
  type Figure,
  figureWidth,
  frame,
  type LegendEntry,
  legend,
  px,
  symbol,
  tickTexts,
  titleHeight,
  xAxis,
  yAxis,
} from './figure.ts';
import { html, type Markup } from './markup.ts';

export interface Series {
  name: string;
  /** Which colour, dash and symbol: a run keeps its own through the whole page. */
  style: number;
  /** [x, y] in order of x; a point whose y is not finite leaves a gap. */
  points: [number, number][];
  /** The x of a point to be ringed. */
  ring?: number;
  /** Decisions of Flying Bird+, drawn in a row of their own below the curves. */
  decisions?: DecisionMark[];
}

export interface DecisionMark {
  x: number;
  decision: Decision;
  /** When it was taken, for the one who points at it. */
  title: string;
}

export interface LineFigure {
  title: string;
  x: Axis;
  y: Axis;
  series: Series[];
  /** What the range of y has to hold; figures that are compared share it. Default: the values of the series. */
  yValues?: number[] | undefined;
}

const plotHeight = 190;
const margin = { left: 52, right: 10, bottom: 40 };
/** Room left of the plot beside the numbers of the y axis: its name and a gap. */
const nameRoom = 28;
const digitWidth = 8;
/** Below the curves, a ring at their lowest value included: the rows of decisions. */
const strip = { gap: 8, rowHeight: 20 };
/** Between the y axis and the first point, whose symbol and ring would lie on the axis' numbers. */
const inset = 8;

/** Nothing where no series has a finite point. */
export function lineFigure({ title, x, y, series, yValues }: LineFigure): Figure | undefined {
  const drawn = series
    .map(s => ({ ...s, points: s.points.filter(point => Number.isFinite(point[0])) }))
    .filter(s => finite(s).length > 0);
  if (drawn.length === 0) return undefined;

  const curves = drawn.map(({ name, style }): LegendEntry => ({ name, style, line: 'marked' }));
  const key = legend([...curves, ...decisionEntries(drawn)], titleHeight);
  const top = titleHeight + key.height + 10;
  const floor = top + plotHeight;
  const deciding = drawn.filter(s => s.decisions?.length);
  const bottom = floor + (deciding.length > 0 ? strip.gap + deciding.length * strip.rowHeight : 0);
  const right = figureWidth - margin.right;
  const points = drawn.flatMap(finite);
  const yScale = scaleLinear(spread(yValues ?? points.map(point => point[1]), 0.01), [floor, top]).nice(5);
  const yTicks = yScale.ticks(5);
  const longest = Math.max(...tickTexts(yTicks, y).map(text => text.length));
  const left = Math.max(margin.left, nameRoom + longest * digitWidth);
  const xScale = scaleLinear(
    spread(
      points.map(point => point[0]),
      0.5,
    ),
    [left + inset, right - inset],
  );
  const xTicks = xScale.ticks(6).filter(Number.isInteger);

  return frame(title, describe(drawn, x, y), bottom + margin.bottom, [
    key.markup,
    yAxis(yScale, yTicks, y, left, right),
    xAxis(xScale, xTicks, x, bottom, bottom, [left, right]),
    drawn.map((s, i) => curve(s, i, drawn.length, xScale, yScale, x, y)),
    deciding.map((s, row) => {
      const middle = floor + strip.gap + (row + 0.5) * strip.rowHeight;
      return [drawn.length > 1 && symbol(s.style, left - 12, middle), decisions(s, xScale, middle)];
    }),
  ]);
}

type Scale = ReturnType<typeof scaleLinear<number, number>>;

/** What the signs below the curves mean, for those that occur. */
function decisionEntries(series: Series[]): LegendEntry[] {
  const taken = new Set(series.flatMap(s => s.decisions ?? []).map(mark => mark.decision));
  const entries: LegendEntry[] = [
    { name: 'decided to prune', decision: 'prune' },
    { name: 'decided to grow', decision: 'grow' },
  ];
  return entries.filter(({ decision }) => taken.has(decision!));
}

function curve(s: Series, index: number, count: number, xScale: Scale, yScale: Scale, x: Axis, y: Axis): Markup {
  const path = line<[number, number]>(
    point => px(xScale(point[0])),
    point => px(yScale(point[1])),
  ).defined(point => Number.isFinite(point[1]))(s.points);
  const known = finite(s);
  const step = Math.max(1, Math.ceil(known.length / 8));
  const offset = Math.floor((step * index) / count);
  const marked = known.filter((_, i) => (i + offset) % step === 0 || i === known.length - 1);
  const ringed = known.find(point => point[0] === s.ring);
  const read = (point: [number, number]): string => `${s.name}: ${y.format(point[1])} at ${x.name} ${x.format(point[0])}`;
  return html`<g><path d="${path ?? ''}" fill="none" stroke="${colourOf(s.style)}" stroke-width="2" stroke-dasharray="${dashOf(s.style)}" stroke-linejoin="round"/>${marked.map(
    point => symbol(s.style, xScale(point[0]), yScale(point[1]), { title: read(point) }),
  )}${ringed && html`<circle cx="${px(xScale(ringed[0]))}" cy="${px(yScale(ringed[1]))}" r="7" fill="none" stroke="${colourOf(s.style)}" stroke-width="1.5"><title>best, ${read(ringed)}</title></circle>`}</g>`;
}

/** The signs of a series' decisions, at the height y. */
function decisions(s: Series, scale: Scale, y: number): Markup[] {
  const [first, last] = scale.domain();
  return s
    .decisions!.filter(({ x }) => first <= x && x <= last)
    .map(({ decision, x, title }) => decisionSign(decision, scale(x), y, colourOf(s.style), `${s.name}: ${title}`));
}

const finite = (s: Series): [number, number][] => s.points.filter(point => Number.isFinite(point[1]));

/** The values' extent, widened on both sides where they are all the same: by a twentieth, at least by `room`. */
function spread(values: number[], room: number): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  // a range too narrow for its ticks to be told apart counts as none
  const narrow = high - low <= 1e-9 * Math.max(room, Math.abs(low), Math.abs(high));
  const wider = Math.max(room, 0.05 * Math.abs(low));
  return narrow ? [low - wider, high + wider] : [low, high];
}

function describe(series: Series[], x: Axis, y: Axis): string {
  const ends = series.map(s => {
    const last = finite(s).at(-1)!;
    return `${s.name} ends at ${y.format(last[1])} (${x.name} ${x.format(last[0])})`;
  });
  return `${y.name} against ${x.name}. ${ends.join('; ')}.`;
}
