/** Figures of a plane: a quantity over it in colours with contour lines, and the classes that a network sees in it. */
import { scaleLinear, scaleSqrt } from 'd3-scale';
import { heat, picture } from './explainColours.ts';
import { contour, contourLevels } from './explainContours.ts';
import { type Axis, colourOf, type Figure, frame, ink, legend, paper, px, symbol, titleHeight, xAxis, yAxis } from './figure.ts';
import { plain } from './format.ts';
import { html, type Markup } from './markup.ts';

/** Where a plane lies in its figure, and what is drawn over it. */
export interface Plane {
  title: string;
  /** Coordinates of the grid along both axes, [G], rising. */
  axis: readonly number[];
  x: Axis;
  y: Axis;
  /** What the point (0, 0) is. */
  centre: string;
  /** The attack's ball in the plane, of radius 1. */
  ball?: { shape: 'diamond' | 'circle'; name: string } | undefined;
}

export interface Surface extends Plane {
  /** [G, G], row by row from the lowest y. */
  values: Float32Array;
  /** Name and unit of the values. */
  name: string;
  /** What the colours have to hold; figures that are compared share it. */
  range: readonly [number, number];
}

const side = 268;
const left = 50;
const right = left + side;
const top = titleHeight + 4;
const bottom = top + side;
const bar = { left: right + 14, width: 12 };
/** Pixels along a side of the coloured picture. */
const pixels = 131;
/** Height and width that the label of a tick or of a contour line takes. */
const tickRoom = 13;
const labelRoom = 30;

/**
 * A quantity over a plane. Colours are spread by the square root of the value above the lowest of the range, which leaves room for the low ones;
 * the contour lines have levels of the plane's own, which are written on them.
 */
export function surfaceFigure(surface: Surface): Figure {
  const { title, values, axis, name, range } = surface;
  const [low, high] = range;
  const share = scaleSqrt([0, high > low ? high - low : 1], [0, 1]).clamp(true);
  const colour = (value: number) => heat(share(value - low));
  const uri = picture(pixels, pixels, (row, column) =>
    colour(bilinear(values, axis.length, column / (pixels - 1), 1 - row / (pixels - 1))),
  );
  const { x, y } = scalesOf(axis);
  const middle = values[(values.length - 1) / 2];
  const [least, most] = [minimum(values), maximum(values)];
  const description = `${name} over ${surface.x.name} and ${surface.y.name}: ${plain(middle)} at ${surface.centre}, from ${plain(least)} to ${plain(most)}.`;
  return frame(title, description, bottom + 40, [
    html`<image href="${uri}" x="${left}" y="${top}" width="${side}" height="${side}" preserveAspectRatio="none"/>`,
    contourLines(values, axis.length, contourLevels(least, most), colour),
    axesOf(surface, x, y),
    marks(surface, x, y, lineOn(colour(middle)), 4.5),
    colourBar(contourLevels(low, high), range, colour, name),
  ]);
}

/** Lines with their levels written on them where there is room. */
function contourLines(
  values: Float32Array,
  size: number,
  levels: readonly number[],
  colour: (value: number) => number[],
): Markup {
  const place = ([column, row]: readonly [number, number]): [number, number] => [
    left + (column / (size - 1)) * side,
    bottom - (row / (size - 1)) * side,
  ];
  const written: (readonly [number, number])[] = [place([(size - 1) / 2, (size - 1) / 2])]; // the centre has a mark
  const room = ([x, y]: readonly [number, number]) =>
    x > left + labelRoom / 2 &&
    x < right - labelRoom / 2 &&
    y > top + tickRoom &&
    y < bottom - tickRoom / 2 &&
    written.every(([u, v]) => Math.abs(u - x) > labelRoom || Math.abs(v - y) > tickRoom);
  const lines = levels.map(level => {
    const segments = contour(values, size, level).map(ends => ends.map(place));
    const path = segments.map(([[x0, y0], [x1, y1]]) => `M${px(x0)} ${px(y0)}L${px(x1)} ${px(y1)}`).join('');
    const middles = segments.map(([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] as const);
    // labels keep to the diagonal from the upper left, where lines are met at an angle
    const label = middles.filter(room).toSorted((a, b) => offDiagonal(a) - offDiagonal(b))[0];
    if (label) written.push(label);
    const [line, ground] = [lineOn(colour(level)), `rgb(${colour(level).join()})`];
    return html`<path d="${path}" fill="none" stroke="${line}" opacity=".75"/>${
      label &&
      html`<text x="${px(label[0])}" y="${px(label[1] + 3.5)}" text-anchor="middle" font-size="10" fill="${line}" stroke="${ground}" stroke-width="3" paint-order="stroke">${plain(level)}</text>`
    }`;
  });
  return html`${lines}`;
}

/** How far a point of the figure is from the diagonal from the upper left to the lower right. */
const offDiagonal = ([x, y]: readonly [number, number]): number => Math.abs(x - left - (y - top));

export interface ClassPlane extends Plane {
  /** The class at every point, [G, G], row by row from the lowest y. */
  classes: Int32Array;
  names: readonly string[];
  /** The class that is right. */
  truth: number;
}

/** Symbols along a side at most, which tell areas apart without colour. */
const symbolsAlong = 7;

/**
 * The predicted class over a plane: an area with an outline, a colour and a symbol a class. The first colour is that of the right class in every
 * figure.
 */
export function classFigure(plane: ClassPlane): Figure {
  const { title, axis, classes, names, truth } = plane;
  const found = [...new Set([truth, ...classes])]
    .map((klass, style) => ({ klass, style, share: count(classes, klass) / classes.length }))
    .filter(({ share }) => share > 0);
  const { x, y } = scalesOf(axis);
  const areas = found.map(
    ({ klass, style }) =>
      html`<path d="${areaOf(classes, axis.length, klass)}" fill="${colourOf(style)}" fill-opacity=".28" shape-rendering="crispEdges"/>`,
  );
  const outlines = html`<path d="${bordersOf(classes, axis.length)}" fill="none" stroke="${ink}" stroke-linecap="square" shape-rendering="crispEdges"/>`;
  const signs = found.map(({ klass, style }) =>
    signsOf(classes, axis.length, klass).map(([row, column]) => symbol(style, x(axis[column]), y(axis[row]))),
  );
  const nameOf = (klass: number) => names[klass] ?? `class ${klass}`;
  const key = legend(
    found.map(({ klass, style }) => ({ name: klass === truth ? `${nameOf(klass)} (right)` : nameOf(klass), style })),
    bottom + 44,
  );
  const shares = found.map(({ klass, share }) => `${nameOf(klass)} at ${plain(Math.round(share * 100))} % of the points`);
  return frame(
    title,
    `Predicted class over ${plane.x.name} and ${plane.y.name}: ${shares.join(', ')}.`,
    bottom + 48 + key.height,
    [areas, outlines, axesOf(plane, x, y), marks(plane, x, y, ink, 8), signs, key.markup],
  );
}

type Scale = ReturnType<typeof scaleLinear<number, number>>;

function scalesOf(axis: readonly number[]): { x: Scale; y: Scale } {
  const ends = [axis[0], axis[axis.length - 1]];
  return { x: scaleLinear(ends, [left, right]), y: scaleLinear(ends, [bottom, top]) };
}

function axesOf({ x: xName, y: yName }: Plane, x: Scale, y: Scale): Markup {
  // the axes draw a grid, which would hide in the picture: it is given no length
  const rim = html`<rect x="${left}" y="${top}" width="${side}" height="${side}" fill="none" stroke="${ink}" stroke-opacity=".4"/>`;
  return html`${rim}${xAxis(x, x.ticks(5), xName, bottom, bottom)}${yAxis(y, y.ticks(5), yName, left, left)}`;
}

/** The centre, as a circle of `radius`, and the attack's ball. */
function marks({ axis, centre, ball }: Plane, x: Scale, y: Scale, stroke: string, radius: number): Markup {
  const [[x0, y0], [x1, y1]] = [
    [x(0), y(0)],
    [x(1), y(1)],
  ];
  const line = html`fill="none" stroke="${stroke}" stroke-width="1.5" stroke-dasharray="5 4"`;
  const fits = ball && axis[axis.length - 1] >= 1;
  const shape =
    ball?.shape === 'circle'
      ? html`<circle cx="${px(x0)}" cy="${px(y0)}" r="${px(x1 - x0)}" ${line}><title>${ball.name}</title></circle>`
      : html`<path d="M${px(x1)} ${px(y0)}L${px(x0)} ${px(y1)}L${px(2 * x0 - x1)} ${px(y0)}L${px(x0)} ${px(2 * y0 - y1)}Z" ${line}><title>${ball?.name}</title></path>`;
  return html`${fits && shape}<circle cx="${px(x0)}" cy="${px(y0)}" r="${radius}" fill="${paper}" stroke="${ink}" stroke-width="1.5"><title>${centre}</title></circle>`;
}

/** The colours from low to high, with the contour levels that have room beside them. */
function colourBar(
  levels: readonly number[],
  [low, high]: readonly [number, number],
  colour: (value: number) => number[],
  name: string,
): Markup {
  const steps = 64;
  const uri = picture(1, steps, row => colour(low + (high - low) * (1 - row / (steps - 1))));
  const y = scaleLinear([low, high > low ? high : low + 1], [bottom, top]);
  let last = Number.POSITIVE_INFINITY;
  const ticks = (levels.length > 0 ? levels : [low]).filter(level => {
    const room = last - y(level) >= tickRoom;
    if (room) last = y(level);
    return room;
  });
  return html`<image href="${uri}" x="${bar.left}" y="${top}" width="${bar.width}" height="${side}" preserveAspectRatio="none"/>${ticks.map(
    level =>
      html`<text x="${bar.left + bar.width + 5}" y="${px(y(level) + 4)}" fill="${ink}" font-size="11">${plain(level)}</text>`,
  )}<text transform="translate(392 ${px((top + bottom) / 2)}) rotate(-90)" text-anchor="middle" fill="${ink}">${name}</text>`;
}

/** Black or white, whichever a line over this colour needs. */
const lineOn = ([r, g, b]: number[]): string => (0.3 * r + 0.59 * g + 0.11 * b > 120 ? '#000000' : '#ffffff');

/** The value at a share of the way along both axes. */
function bilinear(values: Float32Array, size: number, across: number, up: number): number {
  const [column, row] = [across * (size - 1), up * (size - 1)];
  const [j, i] = [Math.min(Math.floor(column), size - 2), Math.min(Math.floor(row), size - 2)];
  const [dx, dy] = [column - j, row - i];
  const at = (r: number, c: number) => values[r * size + c];
  return (at(i, j) * (1 - dx) + at(i, j + 1) * dx) * (1 - dy) + (at(i + 1, j) * (1 - dx) + at(i + 1, j + 1) * dx) * dy;
}

/** Where a coordinate of the grid lies in the figure, from left to right and from below; the cells at the rim are cut in half. */
const across = (at: number, size: number): number => px(left + along(at, size));
const up = (at: number, size: number): number => px(bottom - along(at, size));
const along = (at: number, size: number): number => (Math.min(Math.max(at, 0), size - 1) / (size - 1)) * side;

/** The cells of a class around the points of the grid. */
function areaOf(classes: Int32Array, size: number, klass: number): string {
  const cells = runsOf(classes, size, klass).map(({ row, start, end }) => {
    const [x0, x1] = [across(start - 0.5, size), across(end + 0.5, size)];
    return `M${x0} ${up(row + 0.5, size)}H${x1}V${up(row - 0.5, size)}H${x0}Z`;
  });
  return cells.join('');
}

/** The lines between cells of different classes. */
function bordersOf(classes: Int32Array, size: number): string {
  const parts: string[] = [];
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      const at = i * size + j;
      if (j + 1 < size && classes[at] !== classes[at + 1])
        parts.push(`M${across(j + 0.5, size)} ${up(i - 0.5, size)}V${up(i + 0.5, size)}`);
      if (i + 1 < size && classes[at] !== classes[at + size])
        parts.push(`M${across(j - 0.5, size)} ${up(i + 0.5, size)}H${across(j + 0.5, size)}`);
    }
  return parts.join('');
}

/** Where a class has its symbol, [row, column]: on a lattice of the grid, or where that misses the class in the middle of its longest run. */
function signsOf(classes: Int32Array, size: number, klass: number): [number, number][] {
  const middle = (size - 1) / 2;
  const stride = Math.ceil(size / symbolsAlong);
  const lattice = Array.from({ length: size - 2 }, (_, i) => i + 1).filter(i => (i - middle) % stride === 0);
  const signs = lattice.flatMap(row => lattice.map((column): [number, number] => [row, column]));
  const own = signs.filter(([row, column]) => classes[row * size + column] === klass);
  if (own.length > 0) return own;
  const { row, start, end } = runsOf(classes, size, klass).reduce((a, b) => (b.end - b.start > a.end - a.start ? b : a));
  return [[row, Math.floor((start + end) / 2)]];
}

/** Where a class lies in the rows of the grid: from `start` to `end`, both included. */
function runsOf(classes: Int32Array, size: number, klass: number): { row: number; start: number; end: number }[] {
  const runs: { row: number; start: number; end: number }[] = [];
  for (let row = 0; row < size; row++)
    for (let start = 0; start < size; start++) {
      if (classes[row * size + start] !== klass) continue;
      let end = start;
      while (end + 1 < size && classes[row * size + end + 1] === klass) end++;
      runs.push({ row, start, end });
      start = end;
    }
  return runs;
}

const count = (classes: Int32Array, klass: number): number => classes.reduce((n, c) => n + (c === klass ? 1 : 0), 0);
const minimum = (values: Float32Array): number => values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
const maximum = (values: Float32Array): number => values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
