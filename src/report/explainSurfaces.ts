/** The parts of an explanation that draw losses over planes: around images, and in weight space. */
import type { Explanation } from '../train/explain/explanation.ts';
import { attackedImages } from './explainFate.ts';
import { type ClassPlane, classFigure, type Plane, surfaceFigure } from './explainSurface.ts';
import { fraction, plain } from './format.ts';
import { html } from './markup.ts';
import { type Section, section } from './sections/section.ts';

const lossName = 'cross-entropy (nats)';

/** Two figures for each image that has a surface: its loss and its classes. */
export function aroundImages({ about, classes, labels, around }: Explanation): Section | undefined {
  if (!around) return undefined;
  const { axis, count, loss, predicted } = around;
  const points = axis.length ** 2;
  const range = rangeOf(loss);
  const [ball, direction] =
    about.norm === 'linf'
      ? [{ shape: 'diamond', name: 'the ball of radius eps, |a| + |b| ≤ 1' } as const, 'sign of the gradient']
      : [{ shape: 'circle', name: 'the ball of radius eps, a² + b² ≤ 1' } as const, 'gradient'];
  const lead = html`Each point is the image moved by a·eps along the ${direction} of its loss and by b·eps along a random direction of −1 and 1, pixels cut off at 0 and 1. The circle is the image itself, the dashed line the ball of radius eps. Figures share their colours, which are spread by the square root of the loss.`;
  const figures = Array.from({ length: count }, (_, i) => {
    const name = classes[labels[i]] ?? `class ${labels[i]}`;
    const plane: Plane = {
      title: `Image ${i + 1}, ${name}: loss`,
      axis,
      x: { name: 'a, adversarial direction (eps)', format: plain },
      y: { name: 'b, random direction (eps)', format: plain },
      centre: 'the image',
      ball,
    };
    const values = drawable(loss.subarray(i * points, (i + 1) * points), range);
    const seen = predicted.subarray(i * points, (i + 1) * points);
    const areas: ClassPlane = {
      ...plane,
      title: `Image ${i + 1}, ${name}: prediction`,
      classes: seen,
      names: classes,
      truth: labels[i],
    };
    return [surfaceFigure({ ...plane, values, name: lossName, range }), classFigure(areas)];
  }).flat();
  return section('around', 'Loss around an image', [lead], html`<div class="planes">${figures}</div>`, figures);
}

/** The loss on clean and, where there are any, on attacked images: a figure each. */
export function inWeightSpace(explanation: Explanation): Section | undefined {
  const { about, weights, shape } = explanation;
  if (!weights) return undefined;
  const { axis, clean, adv, density, recraft } = weights;
  const range = rangeOf(clean, adv);
  const planes = [
    ['Loss in weight space, clean images', clean],
    ...(recraft > 0 || about.attack !== 'none' ? [['Loss in weight space, attacked images', adv] as const] : []),
  ] as const;
  const attacked =
    recraft > 0
      ? `All images were attacked anew at every point by PGD-${recraft}.`
      : attackedImages(explanation, ', once, at the centre');
  const colours = planes.length > 1 ? 'The two figures share their colours, which are' : 'Colours are';
  const lead = html`Mean loss on the ${shape[0]} images when the weights move along two random directions that are normalised filter by filter: at 1 a filter has moved by its own length. Biases and batch normalisation stay${
    density < 1 &&
    html`, and so do masked weights, which are no part of a direction: the fraction ${fraction(density)} of the weights moves`
  }. ${attacked} ${colours} spread by the square root of the loss.`;
  const figures = planes.map(([title, values]) =>
    surfaceFigure({
      title,
      axis,
      x: { name: 'first direction (filter lengths)', format: plain },
      y: { name: 'second direction (filter lengths)', format: plain },
      centre: 'the checkpoint',
      values: drawable(values, range),
      name: lossName,
      range,
    }),
  );
  return section('weights', 'Loss in weight space', [lead], html`<div class="planes">${figures}</div>`, figures);
}

/** The smallest and the largest finite value. */
function rangeOf(...grids: readonly Float32Array[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const values of grids)
    for (const value of values) if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low <= high ? [low, high] : [0, 0];
}

/** A loss past what float32 holds is drawn as the largest that it does. */
const drawable = (values: Float32Array, [, high]: readonly [number, number]): Float32Array =>
  values.map(value => (Number.isFinite(value) ? value : high));
