/** Clean and adversarial images side by side, their difference made visible, and what the model said of each. */
import { percent, plain } from '../format.ts';
import { html, type Markup } from '../markup.ts';
import { pngUri } from '../png.ts';
import type { Samples } from '../tensors.ts';
import { runHeading, type Section, type StyledRun, section } from './section.ts';

/** Nothing where no run has samples. Shows the first `count` of each run. */
export function samples(runs: StyledRun[], count: number): Section | undefined {
  const sampled = runs.filter(run => run.samples && run.samples.shape[0] > 0);
  if (sampled.length === 0) return undefined;
  const lead = html`Test images, the same images after the attack, and the attack's change on mid-grey, amplified. ✓ marks a right answer of the model, ✗ a wrong one.`;
  const blocks = sampled.map(run => html`${runHeading(run, runs)}${runSamples(run.samples!, count)}`);
  return section('samples', 'Clean and adversarial images', [lead], blocks);
}

function runSamples(samples: Samples, count: number): Markup {
  const [n] = samples.shape;
  const shown = Array.from({ length: Math.min(n, count) }, (_, i) => i);
  const largest = largestChange(samples);
  const scale = largest > 0 ? Math.max(1, Math.floor(0.5 / largest)) : 1;
  const right = (predicted: number[]): string =>
    percent(predicted.filter((label, i) => label === samples.labels[i]).length / n, 1);
  return html`<p class="note">Of ${n} images: ${right(samples.predClean)} right clean, ${right(samples.predAdv)} right under attack; largest change of a pixel ${plain(largest * 255)}/255.</p><ul class="samples">${shown.map(i => card(samples, i, scale))}</ul>`;
}

function card(samples: Samples, index: number, scale: number): Markup {
  const name = className(samples, samples.labels[index]);
  return html`<li><p class="truth">true class: <b>${name}</b></p><div class="triple">${picture(
    imageUri(samples, value => value.clean, index),
    `Clean image of class ${name}`,
    'clean',
    verdict(samples, samples.predClean[index], index),
  )}${picture(
    imageUri(samples, value => value.adv, index),
    `Adversarial image of class ${name}`,
    'adversarial',
    verdict(samples, samples.predAdv[index], index),
  )}${picture(
    imageUri(samples, value => (value.adv - value.clean) * scale + 0.5, index),
    `Difference of the two, times ${scale}`,
    'difference',
    html`<span class="verdict">× ${scale}</span>`,
  )}</div></li>`;
}

function picture(uri: string, alt: string, caption: string, below: Markup): Markup {
  return html`<figure><img src="${uri}" alt="${alt}"/><figcaption>${caption}${below}</figcaption></figure>`;
}

function verdict(samples: Samples, predicted: number, index: number): Markup {
  const right = predicted === samples.labels[index];
  const name = className(samples, predicted);
  return html`<span class="verdict ${right ? 'right' : 'wrong'}" title="${right ? 'right' : 'wrong'}: ${name}"><span aria-hidden="true">${right ? '✓' : '✗'}</span> <span class="unseen">${right ? 'right' : 'wrong'}:</span> ${name}</span>`;
}

const className = ({ classes }: Samples, label: number): string => classes[label] ?? `class ${label}`;

/** One image as a PNG; `value` maps a pixel's clean and adversarial value to what is shown, clamped to [0, 1]. */
function imageUri(
  { shape, clean, adv }: Samples,
  value: (pixel: { clean: number; adv: number }) => number,
  index: number,
): string {
  const [, channels, height, width] = shape;
  const rgb = new Uint8ClampedArray(height * width * 3);
  const area = height * width;
  for (let channel = 0; channel < 3; channel++)
    for (let i = 0; i < area; i++) {
      const at = (index * channels + Math.min(channel, channels - 1)) * area + i;
      rgb[i * 3 + channel] = value({ clean: clean[at], adv: adv[at] }) * 255;
    }
  return pngUri(width, height, new Uint8Array(rgb.buffer));
}

function largestChange({ clean, adv }: Samples): number {
  let largest = 0;
  for (let i = 0; i < clean.length; i++) largest = Math.max(largest, Math.abs(adv[i] - clean[i]));
  return largest;
}
