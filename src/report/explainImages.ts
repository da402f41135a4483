/** The part of an explanation that has a card for each image: clean and attacked, where the network looks, and which pixels count. */
import type { Explanation, View } from '../train/explain/explanation.ts';
import { heat, picture } from './explainColours.ts';
import { html, type Markup, type Part } from './markup.ts';
import { section } from './sections/section.ts';

/** Cards on the page; the files hold every image. */
const mostCards = 100;
/** How much of an image its Grad-CAM covers. */
const cover = 0.55;
/** The share of a saliency map's pixels past the end of its colours: a few outliers would leave the others dark. */
const outliers = 0.01;

export function imageCards(explanation: Explanation): Markup {
  const { about, shape, clean } = explanation;
  const shown = Math.min(shape[0], mostCards);
  const smoothing = [about.eigen && 'first principal component', about.flip && 'mean with the mirror image'].filter(Boolean);
  const lead = [
    clean.cam &&
      html`Grad-CAM: where the map of <code>${about.layer}</code> (${about.map.slice(1).join(' × ')} positions${smoothing.length > 0 && `; ${smoothing.join(', ')}`}) speaks for the predicted class, from dark to light. `,
    clean.saliency &&
      html`Saliency: how much a pixel moves the predicted class's logit; each map has its own scale, whose end is passed by a hundredth of its pixels. `,
    html`✓ marks a right answer of the network, ✗ a wrong one.${shown < shape[0] && ` The first ${shown} of ${shape[0]} images.`}`,
  ];
  const cards = Array.from({ length: shown }, (_, i) => card(explanation, i));
  return section('images', 'What the network looks at', lead, html`<ul class="explained">${cards}</ul>`).markup;
}

function card(explanation: Explanation, index: number): Markup {
  const { classes, labels, clean, adv } = explanation;
  const truth = nameOf(classes, labels[index]);
  return html`<li><p class="truth">${index + 1}. true class: <b>${truth}</b></p>${row(explanation, clean, 'clean', index)}${row(explanation, adv, 'adversarial', index)}</li>`;
}

function row({ classes, labels, shape }: Explanation, view: View, kind: string, index: number): Markup {
  const name = nameOf(classes, view.predicted[index]);
  const right = view.predicted[index] === labels[index];
  const [, , height, width] = shape;
  const pixel = pixelsOf(view.images, shape, index);
  const cam = view.cam && mapOf(view.cam, shape, index);
  const seen = view.saliency && mapOf(view.saliency, shape, index);
  const verdict = html`<span class="verdict ${right ? 'right' : 'wrong'}"><span aria-hidden="true">${right ? '✓' : '✗'}</span> <span class="unseen">${right ? 'right' : 'wrong'}:</span> ${name}</span>`;
  return html`<div class="triple">${figure(picture(width, height, pixel), `The ${kind} image, predicted ${name}`, [kind, verdict])}${
    cam &&
    figure(
      picture(width, height, (y, x) => blend(pixel(y, x), heat(cam(y, x)))),
      `Grad-CAM of the ${kind} image for ${name}`,
      'Grad-CAM',
    )
  }${seen && figure(picture(width, height, brightness(seen, height, width)), `Saliency of the ${kind} image for ${name}`, 'saliency')}</div>`;
}

function figure(uri: string, alt: string, caption: Part): Markup {
  return html`<figure><img src="${uri}" alt="${alt}"/><figcaption>${caption}</figcaption></figure>`;
}

const nameOf = (classes: readonly string[], klass: number): string => classes[klass] ?? `class ${klass}`;

type Pixels = (row: number, column: number) => number[];
type Map2 = (row: number, column: number) => number;

/** An image's pixels as bytes; one channel is grey. */
function pixelsOf(images: Float32Array, [, channels, height, width]: readonly number[], index: number): Pixels {
  return (y, x) =>
    [0, 1, 2].map(c => {
      const at = ((index * channels + Math.min(c, channels - 1)) * height + y) * width + x;
      return Math.round(Math.min(Math.max(images[at], 0), 1) * 255);
    });
}

function mapOf(maps: Float32Array, [, , height, width]: readonly number[], index: number): Map2 {
  return (y, x) => maps[(index * height + y) * width + x];
}

const blend = (under: number[], over: number[]): number[] =>
  under.map((value, i) => Math.round(value * (1 - cover) + over[i] * cover));

/** The map in the colours of heat, the largest `outliers` of its pixels at their end. */
function brightness(map: Map2, height: number, width: number): Pixels {
  const sorted = Array.from({ length: height * width }, (_, i) => map(Math.floor(i / width), i % width)).sort((a, b) => a - b);
  const most = sorted[Math.floor((sorted.length - 1) * (1 - outliers))] || sorted[sorted.length - 1];
  return (y, x) => heat(most > 0 ? map(y, x) / most : 0);
}
