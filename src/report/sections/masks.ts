/** The masks as pictures: a row a output channel, a column an input channel, the darker the more of the kernel's weights are kept. */
import { fraction } from '../format.ts';
import { html, type Markup } from '../markup.ts';
import { pngUri } from '../png.ts';
import { rampColour } from '../ramp.ts';
import type { LayerMask } from '../tensors.ts';
import { layerCounts, layerName } from './layers.ts';
import { runHeading, type Section, type StyledRun, section } from './section.ts';

/** Pictures are at most this wide and tall; a larger layer's channels are averaged over blocks. */
const largestSide = 128;

/** Nothing where no run has masks. */
export function masks(runs: StyledRun[]): Section | undefined {
  const masked = runs.filter(run => run.masks.length > 0);
  if (masked.length === 0) return undefined;
  const lead = html`Each picture is one layer, stretched to a square: a row is an output channel, a column an input channel, and the colour says how many of the weights between the two are kept. Layers of more than ${largestSide} channels are averaged over blocks of channels.`;
  const scale = html`<p class="scale"><span>none kept</span><img src="${rampPicture()}" alt="Colour scale from none kept (light) to all kept (dark)" class="mask"/><span>all kept</span></p>`;
  const blocks = masked.map(run => {
    const counts = layerCounts(run);
    return html`${runHeading(run, runs)}<ul class="masks">${run.masks.map((mask, i) => tile(mask, counts[i]))}</ul>`;
  });
  return section('masks', 'Masks', [lead], [scale, blocks]);
}

function tile(mask: LayerMask, { nnz, size }: { nnz: number; size: number }): Markup {
  const { width, height, rgb } = maskPixels(mask);
  const [rows, columns, ...kernel] = mask.shape;
  const shape = `${rows} × ${columns}${kernel.length > 0 ? ` (${kernel.join('\u00A0×\u00A0')})` : ''}`;
  const alt = `Mask of ${layerName(mask.name)}: density ${fraction(nnz / size)}, of ${size} weights`;
  return html`<li><img class="mask" src="${pngUri(width, height, rgb)}" alt="${alt}"/><span class="name" title="${mask.name}">${breakable(layerName(mask.name))}</span><span class="detail">density ${fraction(nnz / size)}<br/>${shape}</span></li>`;
}

/** A dotted name that may break after its dots. */
const breakable = (name: string): Markup => html`${name.split('.').map((part, i) => html`${i > 0 && html`.<wbr/>`}${part}`)}`;

/** The picture of a mask [co, ci, ...kernel]: the kept share of each (co, ci), averaged over blocks where there are too many. */
export function maskPixels({ shape, keep }: LayerMask): { width: number; height: number; rgb: Uint8Array } {
  const [rows, columns] = shape;
  const kernel = keep.length / (rows * columns);
  const [tall, wide] = [Math.ceil(rows / largestSide), Math.ceil(columns / largestSide)];
  const [height, width] = [Math.ceil(rows / tall), Math.ceil(columns / wide)];
  const kept = new Float64Array(width * height);
  const total = new Float64Array(width * height);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const pixel = Math.floor(row / tall) * width + Math.floor(column / wide);
      total[pixel] += kernel;
      const start = (row * columns + column) * kernel;
      for (let i = start; i < start + kernel; i++) if (keep[i] !== 0) kept[pixel]++;
    }
  const rgb = new Uint8Array(width * height * 3);
  kept.forEach((count, pixel) => {
    rgb.set(rampColour(count / total[pixel]), pixel * 3);
  });
  return { width, height, rgb };
}

function rampPicture(): string {
  const steps = 64;
  return pngUri(steps, 1, Uint8Array.from(Array.from({ length: steps }, (_, i) => rampColour(i / (steps - 1))).flat()));
}
