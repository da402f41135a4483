/**
 * Heat maps: a rectangle a value, coloured by the ramp, with the scale of the colours above. Equal colours of neighbours in a row are one
 * rectangle, so that hundreds of epochs stay a small file.
 */
import { scaleLinear } from 'd3-scale';
import { type Axis, type Figure, figureWidth, frame, ink, muted, paper, px, titleHeight } from './figure.ts';
import { shorten } from './format.ts';
import { html, type Markup, type Part } from './markup.ts';
import { rampHex } from './ramp.ts';

export interface HeatFigure {
  title: string;
  /** What is along the two sides: the columns' numbers and the rows' names, top row first. */
  x: Axis & { values: number[] };
  y: { name: string; names: string[] };
  /** [row][column]; what is not finite stays empty. */
  cells: number[][];
  /** What the colours mean, from the lightest to the darkest. */
  colour: Axis & { domain: [number, number]; mark?: { value: number; name: string } };
  /** Rows are as tall as columns are wide. */
  square?: boolean;
  /** A square of cells to be framed: its first and last row and column. */
  box?: { first: number; last: number };
  /** Written beside the colours: what was found. */
  note?: string;
  /** What the picture shows, for those who do not see it. */
  description: string;
}

/** Colours told apart; more would make the file larger and not the picture clearer. */
const levels = 32;
const longestName = 22;
const characterWidth = 6.2;
const bottomMargin = 40;

/** Nothing where there is no cell. */
export function heatFigure({ title, x, y, cells, colour, square, box, note, description }: HeatFigure): Figure | undefined {
  const [rows, columns] = [cells.length, x.values.length];
  if (rows === 0 || columns === 0) return undefined;
  const longest = Math.min(longestName, Math.max(...y.names.map(name => [...name].length)));
  const left = 26 + longest * characterWidth;
  const width = figureWidth - left - 8;
  const rowHeight = square ? width / columns : Math.min(16, Math.max(4, 300 / rows));
  const top = titleHeight + 52;
  const bottom = top + rows * rowHeight;
  const cellWidth = width / columns;
  const [low, high] = colour.domain;
  const shareOf = (value: number): number => (high > low ? (value - low) / (high - low) : 1);
  const body: Part = [
    colourScale(colour, shareOf, note),
    rectangles(cells, shareOf).map(
      ({ share, runs }) =>
        html`<path shape-rendering="crispEdges" fill="${rampHex(share)}" d="${runs.map(run => `M${px(left + run.from * cellWidth)} ${px(top + run.row * rowHeight)}h${px((run.to - run.from) * cellWidth)}v${px(rowHeight)}h${px((run.from - run.to) * cellWidth)}z`).join('')}"/>`,
    ),
    box && frameBox(box, left, top, cellWidth, rowHeight),
    rowNames(y.names, left, top, rowHeight),
    columnNumbers(x, left, bottom, cellWidth),
    html`<text transform="translate(11 ${px((top + bottom) / 2)}) rotate(-90)" text-anchor="middle" fill="${ink}">${y.name}</text>`,
  ];
  return frame(title, description, bottom + bottomMargin, body);
}

interface Run {
  row: number;
  from: number;
  to: number;
}

/** The cells of each level of colour as horizontal runs [from, to). */
function rectangles(cells: number[][], shareOf: (value: number) => number): { share: number; runs: Run[] }[] {
  const byLevel = new Map<number, Run[]>();
  const levelOf = (value: number): number =>
    Number.isFinite(value) ? Math.round(Math.min(1, Math.max(0, shareOf(value))) * (levels - 1)) : -1;
  cells.forEach((values, row) => {
    const all = values.map(levelOf);
    for (let from = 0; from < all.length; ) {
      let to = from + 1;
      while (to < all.length && all[to] === all[from]) to++;
      if (all[from] >= 0) {
        const runs = byLevel.get(all[from]) ?? [];
        runs.push({ row, from, to });
        byLevel.set(all[from], runs);
      }
      from = to;
    }
  });
  return [...byLevel].sort(([a], [b]) => a - b).map(([level, runs]) => ({ share: level / (levels - 1), runs }));
}

/** The colours below the title: their name, the ramp, its two ends, what is marked on it and the note. */
function colourScale(colour: HeatFigure['colour'], shareOf: (value: number) => number, note: string | undefined): Markup {
  const [width, height, y] = [150, 10, titleHeight + 18];
  const x = scaleLinear([0, 1], [0, width]);
  const [low, high] = colour.domain;
  const mark = colour.mark && x(Math.min(1, Math.max(0, shareOf(colour.mark.value))));
  return html`<text x="0" y="${titleHeight + 10}" fill="${ink}">${colour.name}</text>${Array.from(
    { length: levels },
    (_, i) =>
      html`<rect shape-rendering="crispEdges" x="${px(x(i / levels))}" y="${y}" width="${px(width / levels + 0.3)}" height="${height}" fill="${rampHex(i / (levels - 1))}"/>`,
  )}<text x="0" y="${y + 22}" font-size="11" fill="${muted}">${colour.format(low)}</text><text x="${width}" y="${y + 22}" font-size="11" text-anchor="end" fill="${muted}">${colour.format(high)}</text>${
    colour.mark &&
    html`<path d="M${px(mark!)} ${y - 3}v${height + 6}" stroke="${ink}" stroke-width="2"/><text x="${width + 12}" y="${y + 9}" font-size="11" fill="${ink}">${colour.mark.name}</text>`
  }${note && html`<text x="${width + 12}" y="${y + 22}" font-size="11" fill="${ink}">${note}</text>`}`;
}

function frameBox(
  { first, last }: NonNullable<HeatFigure['box']>,
  left: number,
  top: number,
  width: number,
  height: number,
): Markup {
  const [x, y, w, h] = [left + first * width, top + first * height, (last + 1 - first) * width, (last + 1 - first) * height];
  const outline = (stroke: string, thickness: number): Markup =>
    html`<rect x="${px(x)}" y="${px(y)}" width="${px(w)}" height="${px(h)}" fill="none" stroke="${stroke}" stroke-width="${thickness}"/>`;
  return html`${outline(paper, 4)}${outline(ink, 2)}`;
}

/** As many of the rows' names as fit. */
function rowNames(names: string[], left: number, top: number, rowHeight: number): Markup {
  const every = Math.ceil(12 / rowHeight);
  return html`${names.map(
    (name, i) =>
      i % every === 0 &&
      html`<text x="${px(left - 5)}" y="${px(top + (i + 0.5) * rowHeight + 4)}" font-size="11" text-anchor="end" fill="${muted}">${shorten(name, longestName)}${[...name].length > longestName && html`<title>${name}</title>`}</text>`,
  )}`;
}

/** As many of the columns' numbers as fit, and the name of the axis. */
function columnNumbers(x: HeatFigure['x'], left: number, bottom: number, cellWidth: number): Markup {
  const widest = Math.max(...x.values.map(value => x.format(value).length)) * 7 + 8;
  const every = Math.ceil(widest / cellWidth);
  const middle = left + (x.values.length * cellWidth) / 2;
  return html`${x.values.map(
    (value, i) =>
      i % every === 0 &&
      html`<text x="${px(left + (i + 0.5) * cellWidth)}" y="${px(bottom + 15)}" font-size="11" text-anchor="middle" fill="${muted}">${x.format(value)}</text>`,
  )}<text x="${px(middle)}" y="${px(bottom + 34)}" text-anchor="middle" fill="${ink}">${x.name}</text>`;
}
