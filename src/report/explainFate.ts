/** Which images of an explanation its attack has changed, and what is said of the others. */
import type { Explanation } from '../train/explain/explanation.ts';

/**
 * What became of an image: nothing where no attack ran (`clean`); else it is `changed`, `unchanged` though it was attacked, or `spared`: wrong
 * already, which attacks that look for a first error leave as it is.
 */
export type Fate = 'clean' | 'changed' | 'unchanged' | 'spared';

/** Attacks that are run on images that are right so far. */
const seeksFirstError = /^(apgd|fab|square|aa)/;

/** The fate of image `index`. At eps 0 no attack changes any, so that none counts as spared. */
export function fateOf({ about, shape, labels, clean, adv }: Explanation, index: number): Fate {
  if (about.attack === 'none') return 'clean';
  const size = clean.images.length / shape[0];
  const [before, after] = [clean, adv].map(({ images }) => images.subarray(index * size, (index + 1) * size));
  if (before.some((value, p) => value !== after[p])) return 'changed';
  const isSpared = seeksFirstError.test(about.attack) && about.eps > 0 && clean.predicted[index] !== labels[index];
  return isSpared ? 'spared' : 'unchanged';
}

/** The indices of the images with a fate. */
export function imagesOf(explanation: Explanation, fate: Fate): number[] {
  return Array.from({ length: explanation.shape[0] }, (_, i) => i).filter(i => fateOf(explanation, i) === fate);
}

/** A sentence that says how many images were attacked; `how` follows the attack's name. */
export function attackedImages(explanation: Explanation, how = ''): string {
  const { about, shape } = explanation;
  if (about.attack === 'none') return 'The images were not attacked.';
  const spared = imagesOf(explanation, 'spared').length;
  const others = spared > 0 ? '; the others are wrong already and stay as they are' : '';
  return `${shape[0] - spared} of ${shape[0]} images were attacked by ${about.attack}${how}${others}.`;
}
