/** A roofline (`roof.ts`) with measured points, both axes logarithmic. */
import { scaleLinear } from 'd3-scale';
import { figureWidth, frame, ink, legend, px, symbol, titleHeight, xAxis, yAxis } from './figure.ts';
import { plain, si } from './format.ts';
import { html, type Markup } from './markup.ts';
import { type Ceilings, roofAt } from './roof.ts';

export interface RoofPoint {
  contestant: string;
  style: number;
  /** What was measured. */
  name: string;
  /** Operations a byte. */
  intensity: number;
  gflops: number;
}

const plotHeight = 280;
const margin = { left: 60, right: 12, bottom: 40 };

/** Nothing without a point. */
export function rooflineFigure(title: string, ceilings: Ceilings, points: readonly RoofPoint[]): Markup | undefined {
  if (points.length === 0) return undefined;
  const styles = new Map(points.map(point => [point.contestant, point.style]));
  const key = legend(
    [...styles].map(([name, style]) => ({ name, style })),
    titleHeight,
  );
  const top = titleHeight + key.height + 10;
  const bottom = top + plotHeight;
  const ridge = ceilings.gflops / ceilings.gbs;
  const xs = decades([ridge, ...points.map(p => p.intensity)]);
  const ys = decades([ceilings.gflops, ...points.map(p => p.gflops)]);
  // the scales are linear in the logarithm: the helpers of all figures draw them
  const x = scaleLinear(xs.map(Math.log10), [margin.left, figureWidth - margin.right]);
  const y = scaleLinear(ys.map(Math.log10), [bottom, top]);
  const at = (intensity: number, gflops: number): [number, number] => [px(x(Math.log10(intensity))), px(y(Math.log10(gflops)))];
  const start = Math.max(xs[0], ys[0] / ceilings.gbs);
  const roof = [start, ridge, xs[1]].map(intensity => at(intensity, roofAt(ceilings, intensity)));
  const says = points.map(({ contestant, name, intensity, gflops }) => {
    const share = gflops / roofAt(ceilings, intensity);
    return `${contestant}, ${name}: ${plain(gflops)} GFLOP/s, ${(100 * share).toFixed(0)} % of the roof`;
  });
  const drawn = points.map((p, i) => symbol(p.style, ...at(p.intensity, p.gflops), { title: says[i] }));
  const format = (power: number) => si(Number((10 ** power).toPrecision(1)));
  const description = `At most ${plain(ceilings.gflops)} GFLOP/s and ${plain(ceilings.gbs)} GB/s. ${says.join('; ')}.`;
  return frame(title, description, bottom + margin.bottom, [
    key.markup,
    xAxis(x, ticks(xs), { name: 'operations a byte', format }, top, bottom),
    yAxis(y, ticks(ys), { name: 'GFLOP/s', format }, margin.left, figureWidth - margin.right),
    html`<polyline points="${roof.map(p => p.join(',')).join(' ')}" fill="none" stroke="${ink}" stroke-width="1.5"/>`,
    drawn,
  ]);
}

/** The values' range, from a step of 1, 2, 5 to another. */
function decades(values: readonly number[]): [number, number] {
  const steps = (value: number) => [1, 2, 5, 10].map(step => step * 10 ** Math.floor(Math.log10(value)));
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return [steps(least).findLast(step => step < least) ?? least / 2, steps(most).find(step => step > most) ?? most * 2];
}

/** The powers of 10 that are whole, and where there is room those of 2 and 5 between them. */
function ticks([low, high]: readonly [number, number]): number[] {
  const wide = Math.log10(high / low) > 2.5;
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const step of wide ? [1] : [1, 2, 5]) found.push(power + Math.log10(step));
  return found.filter(tick => tick >= Math.log10(low) - 1e-9 && tick <= Math.log10(high) + 1e-9);
}
