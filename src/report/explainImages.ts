/** The part of an explanation that has a card for each image: clean and attacked, where the network looks, and which pixels count. */
import type { Explanation, View } from '../train/explain/explanation.ts';
import { heat, picture } from './explainColours.ts';
import { attackedImages, type Fate, fateOf } from './explainFate.ts';
import { type Figure, frame, ink, muted, px, titleHeight } from './figure.ts';
import { shorten } from './format.ts';
import { html, type Markup } from './markup.ts';
import { section } from './sections/section.ts';

/** Cards on the page; the files hold every image. */
const mostCards = 100;
/** Characters of an answer that fit in a figure. */
const answerWidth = 54;
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
    html`✓ marks a right answer of the network, ✗ a wrong one. ${attackedImages(explanation)}${shown < shape[0] && ` The first ${shown} of ${shape[0]} images.`}`,
  ];
  const cards = Array.from({ length: shown }, (_, i) => card(explanation, i));
  return section('images', 'What the network looks at', lead, html`<ul class="explained">${cards}</ul>`).markup;
}

/** The same cards as figures, which can be files, of every image. */
export function imageFigures(explanation: Explanation): Figure[] {
  const { classes, labels, shape } = explanation;
  return Array.from({ length: shape[0] }, (_, index) => {
    const { rows, note } = viewsOf(explanation, index);
    const body = rows.map((pictures, row) => {
      const top = titleHeight + 4 + row * (drawn.side + drawn.below);
      return pictures.map(({ uri, caption, verdict }, column) => {
        const x = column * (drawn.side + drawn.gap);
        const answer = verdict && `${verdict.right ? 'right' : 'wrong'}: ${verdict.name}`;
        return html`<image href="${uri}" x="${px(x)}" y="${top}" width="${drawn.side}" height="${drawn.side}" preserveAspectRatio="none" image-rendering="optimizeSpeed"/><text x="${px(x)}" y="${top + drawn.side + 15}" font-size="11" fill="${muted}">${caption}</text>${answer && html`<text x="${px(x)}" y="${top + drawn.side + 30}" font-size="11" fill="${ink}">${shorten(answer, answerWidth)}</text>`}`;
      });
    });
    const end = titleHeight + 4 + rows.length * (drawn.side + drawn.below);
    const remark = note && html`<text x="0" y="${end + 11}" font-size="11" fill="${muted}">${note}</text>`;
    const description = [...rows.flat().map(({ alt }) => alt), ...(note ? [note] : [])].join('. ');
    const title = `Image ${index + 1}, ${nameOf(classes, labels[index])}`;
    return frame(title, `${description}.`, note ? end + 18 : end, [sharp, body, remark]);
  });
}

/** Pixels keep their edges: browsers need `pixelated` for that, resvg, which skips what is under a condition, the attribute of the images. */
const sharp = html`<style>@supports (image-rendering: pixelated) { image { image-rendering: pixelated } }</style>`;

/** Side of a picture of a figure, the gap to the next one, and the room below for what is written there. */
const drawn = { side: 124, gap: 14, below: 44 };

function card(explanation: Explanation, index: number): Markup {
  const { classes, labels } = explanation;
  const { rows, note } = viewsOf(explanation, index);
  const triples = rows.map(
    pictures =>
      html`<div class="triple">${pictures.map(({ uri, alt, caption, verdict }) => figure(uri, alt, caption, verdict))}</div>`,
  );
  return html`<li><p class="truth">${index + 1}. true class: <b>${nameOf(classes, labels[index])}</b></p>${triples}${note && html`<p class="note">${note}</p>`}</li>`;
}

/** A picture and what is written of it; the image itself has the network's answer. */
interface Picture {
  uri: string;
  alt: string;
  caption: string;
  verdict?: { right: boolean; name: string };
}

/** What is said of an image that has no adversarial one. */
const notes: Partial<Record<Fate, string>> = {
  spared: 'not attacked: wrong already',
  unchanged: 'unchanged by the attack',
};

/** The pictures of the clean image, and of the attacked one where that is another. */
function viewsOf(explanation: Explanation, index: number): { rows: Picture[][]; note: string | undefined } {
  const fate = fateOf(explanation, index);
  const clean = picturesOf(explanation, explanation.clean, 'clean', index);
  const adv = fate === 'changed' && picturesOf(explanation, explanation.adv, 'adversarial', index);
  return { rows: adv ? [clean, adv] : [clean], note: notes[fate] };
}

function picturesOf({ classes, labels, shape }: Explanation, view: View, kind: string, index: number): Picture[] {
  const name = nameOf(classes, view.predicted[index]);
  const right = view.predicted[index] === labels[index];
  const [, , height, width] = shape;
  const pixel = pixelsOf(view.images, shape, index);
  const cam = view.cam && mapOf(view.cam, shape, index);
  const seen = view.saliency && mapOf(view.saliency, shape, index);
  const image = { uri: picture(width, height, pixel), alt: `The ${kind} image, predicted ${name}`, caption: kind };
  const over =
    (map: Map2): Pixels =>
    (y, x) =>
      blend(pixel(y, x), heat(map(y, x)));
  return [
    { ...image, verdict: { right, name } },
    ...(cam
      ? [{ uri: picture(width, height, over(cam)), alt: `Grad-CAM of the ${kind} image for ${name}`, caption: 'Grad-CAM' }]
      : []),
    ...(seen
      ? [
          {
            uri: picture(width, height, brightness(seen, height, width)),
            alt: `Saliency of the ${kind} image for ${name}`,
            caption: 'saliency',
          },
        ]
      : []),
  ];
}

function figure(uri: string, alt: string, caption: string, verdict: Picture['verdict']): Markup {
  const answer =
    verdict &&
    html`<span class="verdict ${verdict.right ? 'right' : 'wrong'}"><span aria-hidden="true">${verdict.right ? '✓' : '✗'}</span> <span class="unseen">${verdict.right ? 'right' : 'wrong'}:</span> ${verdict.name}</span>`;
  return html`<figure><img src="${uri}" alt="${alt}"/><figcaption>${caption}${answer}</figcaption></figure>`;
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
