/**
 * What every figure shares: how a run is drawn (colour, dash, symbol), the frame with title and legend, and the axes. A figure is one
 * SVG element that also stands alone: colours are CSS variables of the page with a fallback inside, which `standAlone` puts in.
 */
import type { ScaleLinear } from 'd3-scale';
import * as shape from 'd3-shape';
import { shorten } from './format.ts';
import { html, Markup, type Part } from './markup.ts';

/** An SVG element that knows its title. */
export class Figure extends Markup {
  readonly title: string;

  constructor(title: string, source: Markup) {
    super(source.source);
    this.title = title;
  }
}

/** Width of every figure in its own units; on a phone and in a third of a wide page its text is 11 to 12 px tall. */
export const figureWidth = 400;

const fontSize = 13;
const characterWidth = 7;

export const ink = 'var(--ink, #1b2127)';
export const muted = 'var(--muted, #56616c)';
export const rule = 'var(--rule, #d8dee4)';
export const paper = 'var(--paper, #ffffff)';

/**
 * Okabe and Ito's palette, told apart with every common colour blindness; the page lightens it in the dark. In greyscale some of its colours
 * meet, so a run also has a dash and a symbol of its own. There are as many of these as colours, a prime number of each: where the palette begins
 * anew, symbols are one ahead and dashes two, so that no two of 49 runs share more than one of the three.
 */
export const runColours = ['#0072b2', '#d55e00', '#009e73', '#a9568a', '#000000', '#e69f00', '#56b4e9'];
const dashes = ['', '7 3', '2 3', '10 3 2 3', '18 4', '10 3 2 3 2 3', '2 2 2 7'];
const symbols = [
  shape.symbolCircle,
  shape.symbolSquare,
  shape.symbolTriangle,
  shape.symbolDiamond,
  shape.symbolStar,
  shape.symbolCross,
  shape.symbolWye,
];

/** How often the palette was used up before a style. */
const turn = (style: number): number => Math.floor(style / runColours.length);

export const colourOf = (style: number): string =>
  `var(--run-${style % runColours.length}, ${runColours[style % runColours.length]})`;
export const dashOf = (style: number): string => dashes[(style + 2 * turn(style)) % dashes.length];

/** A symbol of style `style` centred at (x, y); hollow ones are filled with the paper's colour. */
export function symbol(style: number, x: number, y: number, options: { hollow?: boolean; title?: string } = {}): Markup {
  const path = shape.symbol(symbols[(style + turn(style)) % symbols.length], 40)() ?? '';
  const fill = options.hollow ? paper : colourOf(style);
  return html`<path d="${path}" transform="translate(${px(x)} ${px(y)})" fill="${fill}" stroke="${colourOf(style)}" stroke-width="1.5">${
    options.title && html`<title>${options.title}</title>`
  }</path>`;
}

/** A style's symbol by itself, as high as the letters of a text that it stands in. */
export const mark = (style: number): Markup =>
  html`<svg class="mark" viewBox="-8 -8 16 16" aria-hidden="true">${symbol(style, 0, 0)}</svg>`;

/** A coordinate with two decimals. */
export const px = (value: number): number => Math.round(value * 100) / 100;

/** A decision of Flying Bird+ taken in an epoch: to prune further, or to grow further. */
export type Decision = 'prune' | 'grow';

/** The sign of a decision at (x, y): a triangle above it for growth, one below it that hangs for pruning. */
export function decisionSign(decision: Decision, x: number, y: number, colour: string, title?: string): Markup {
  const up = decision === 'grow' ? -1 : 1;
  const path = `M${px(x)} ${px(y + up * 8.5)}l4.5 ${-up * 7}h-9z`; // both fit at one place
  return html`<path class="${decision}" d="${path}" fill="${paper}" stroke="${colour}" stroke-width="1.4">${title && html`<title>${title}</title>`}</path>`;
}

export interface LegendEntry {
  name: string;
  /** Absent for the sign of a decision, which every run has in its own colour. */
  style?: number;
  /** Shows the run's line, with its symbol on it or bare. */
  line?: 'marked' | 'bare';
  hollow?: boolean;
  decision?: Decision;
}

/** Rows of a legend that starts at (0, top), broken where the width ends, and the height they take. */
export function legend(entries: LegendEntry[], top: number): { markup: Markup; height: number } {
  const rowHeight = 18;
  let [x, y] = [0, top + rowHeight / 2];
  const markup = entries.map(({ name, style = 0, line, hollow, decision }) => {
    const label = shorten(name, 44);
    const swatch = line ? 30 : 12;
    const width = swatch + 6 + [...label].length * characterWidth + 16;
    if (x > 0 && x + width - 16 > figureWidth) [x, y] = [0, y + rowHeight];
    const start = x;
    x += width;
    return html`<g>${label !== name && html`<title>${name}</title>`}${
      line &&
      html`<line x1="${px(start)}" x2="${px(start + swatch)}" y1="${y}" y2="${y}" stroke="${colourOf(style)}" stroke-width="2" stroke-dasharray="${dashOf(style)}"/>`
    }${
      decision
        ? decisionSign(decision, start + swatch / 2, decision === 'grow' ? y + 5 : y - 5, muted)
        : line !== 'bare' && symbol(style, start + swatch / 2, y, { hollow })
    }<text x="${px(start + swatch + 6)}" y="${y + 4}" fill="${ink}">${label}</text></g>`;
  });
  return { markup: html`${markup}`, height: entries.length > 0 ? y + rowHeight / 2 - top : 0 };
}

/** Characters of a title that fit on a line, and the height of a line. */
const titleWidth = 44;
const titleLine = 18;

/** The SVG element: `title` is drawn and read aloud, `description` is read aloud only. The second line of a long title moves the body down. */
export function frame(title: string, description: string, height: number, body: Part): Figure {
  const [first, second] = titleLines(title);
  const moved = second ? html`<g transform="translate(0 ${titleLine})">${body}</g>` : body;
  return new Figure(
    title,
    html`<svg class="figure" role="img" viewBox="0 0 ${figureWidth} ${px(second ? height + titleLine : height)}" xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="${fontSize}"><title>${title}</title><desc>${description}</desc><text x="0" y="13" font-size="14" font-weight="600" fill="${ink}">${first}${second && html`<tspan x="0" dy="${titleLine}">${second}</tspan>`}</text>${moved}</svg>`,
  );
}

/** A title on one line, or on two that break at a space; what does not fit on a line is cut. */
function titleLines(title: string): string[] {
  const space = [...title].length > titleWidth ? title.lastIndexOf(' ', titleWidth) : -1;
  const lines = space > 0 ? [title.slice(0, space), title.slice(space + 1)] : [title];
  return lines.map(line => shorten(line, titleWidth));
}

/** Height that a frame's title takes, on one line. */
export const titleHeight = 24;

export interface Axis {
  /** Name with the unit, as 'robust accuracy (%)'. */
  name: string;
  format: (value: number) => string;
}

type Scale = ScaleLinear<number, number>;

/** The numbers at an axis: where they are plain ones, all with as many decimals as the longest has. */
export function tickTexts(ticks: readonly number[], { format }: Axis): string[] {
  const texts = ticks.map(format);
  if (!texts.every(text => /^\u2212?\d+(\.\d+)?$/.test(text))) return texts;
  const parts = texts.map(text => text.split('.'));
  const decimals = Math.max(0, ...parts.map(([, part = '']) => part.length));
  return parts.map(([whole, part = '']) => (decimals > 0 ? `${whole}.${part.padEnd(decimals, '0')}` : whole));
}

/**
 * The x axis below a plot that spans `top` to `bottom`, with vertical grid lines.
 * @param span from where to where its line goes, where that is further than the scale
 */
export function xAxis(
  scale: Scale,
  ticks: number[],
  axis: Axis,
  top: number,
  bottom: number,
  [left, right]: number[] = scale.range(),
): Markup {
  const texts = tickTexts(ticks, axis);
  return html`${ticks.map(
    (tick, i) =>
      html`<line x1="${px(scale(tick))}" x2="${px(scale(tick))}" y1="${px(top)}" y2="${px(bottom)}" stroke="${rule}"/><text x="${px(scale(tick))}" y="${px(bottom + 18)}" text-anchor="middle" fill="${muted}">${texts[i]}</text>`,
  )}<line x1="${px(left)}" x2="${px(right)}" y1="${px(bottom)}" y2="${px(bottom)}" stroke="${muted}"/><text x="${px((left + right) / 2)}" y="${px(bottom + 36)}" text-anchor="middle" fill="${ink}">${axis.name}</text>`;
}

/** The y axis left of a plot that spans `left` to `right`, with horizontal grid lines and its name turned by 90 degrees. */
export function yAxis(scale: Scale, ticks: number[], axis: Axis, left: number, right: number): Markup {
  const middle = (scale.range()[0] + scale.range()[1]) / 2;
  const texts = tickTexts(ticks, axis);
  return html`${ticks.map(
    (tick, i) =>
      html`<line x1="${px(left)}" x2="${px(right)}" y1="${px(scale(tick))}" y2="${px(scale(tick))}" stroke="${rule}"/><text x="${px(left - 6)}" y="${px(scale(tick) + 4)}" text-anchor="end" fill="${muted}">${texts[i]}</text>`,
  )}<text transform="translate(11 ${px(middle)}) rotate(-90)" text-anchor="middle" fill="${ink}">${axis.name}</text>`;
}
