/** An explanation in numbers: what `sparrow explain --json` prints and `explain.json` holds. */
import type { About, Explanation, ImageSurfaces, WeightSurfaces } from '../train/explain/explanation.ts';
import { imagesOf } from './explainFate.ts';

export interface ExplainSummary extends About {
  readonly n: number;
  /** Images that the attack has changed. */
  readonly changed: number;
  /** Mean over those images of the cosine between the map of the clean and that of the attacked image; absent where there are none. */
  readonly similarity: { readonly cam?: number; readonly saliency?: number };
  readonly around?: {
    readonly images: number;
    readonly grid: number;
    readonly radius: number;
    /** Means over the images: loss at the image, the largest loss on the plane within the attack's ball, and the share of that part
     * of the plane where the class predicted for the image stays. */
    readonly centreLoss: number;
    readonly ballLoss: number;
    readonly kept: number;
  };
  readonly weights?: {
    readonly grid: number;
    readonly radius: number;
    readonly density: number;
    readonly recraft: number;
    readonly clean: { readonly centreLoss: number; readonly largestLoss: number };
    readonly adv: { readonly centreLoss: number; readonly largestLoss: number };
  };
}

export function summariseExplanation(explanation: Explanation): ExplainSummary {
  const { about, shape, clean, adv, around, weights } = explanation;
  const [n] = shape;
  const changed = imagesOf(explanation, 'changed');
  const both = (key: 'cam' | 'saliency') => {
    const [a, b] = [clean[key], adv[key]];
    return a && b && changed.length > 0 && { [key]: meanCosine(a, b, a.length / n, changed) };
  };
  return {
    ...about,
    n,
    changed: changed.length,
    similarity: { ...both('cam'), ...both('saliency') },
    ...(around && { around: aroundNumbers(around, about) }),
    ...(weights && { weights: weightNumbers(weights) }),
  };
}

/** The mean over some maps of `size` values of a·b/(|a||b|); a map of zeros counts 0. */
function meanCosine(a: Float32Array, b: Float32Array, size: number, maps: readonly number[]): number {
  let total = 0;
  for (const i of maps) {
    let [ab, aa, bb] = [0, 0, 0];
    for (let p = i * size; p < (i + 1) * size; p++) {
      ab += a[p] * b[p];
      aa += a[p] ** 2;
      bb += b[p] ** 2;
    }
    total += ab / (Math.sqrt(aa * bb) || 1);
  }
  return total / maps.length;
}

function aroundNumbers({ axis, count, loss, predicted }: ImageSurfaces, { norm }: About): ExplainSummary['around'] {
  const grid = axis.length;
  const points = grid * grid;
  const inBall = Array.from({ length: points }, (_, p) => {
    const [a, b] = [Math.abs(axis[p % grid]), Math.abs(axis[Math.floor(p / grid)])];
    return (norm === 'linf' ? a + b : Math.hypot(a, b)) <= 1 + 1e-9;
  });
  const inside = inBall.flatMap((is, p) => (is ? [p] : []));
  const centre = (points - 1) / 2;
  const images = Array.from({ length: count }, (_, s) => s * points);
  const mean = (of: (from: number) => number) => images.reduce((sum, from) => sum + of(from), 0) / count;
  return {
    images: count,
    grid,
    radius: axis[grid - 1],
    centreLoss: mean(from => loss[from + centre]),
    ballLoss: mean(from => Math.max(...inside.map(p => loss[from + p]))),
    kept: mean(from => inside.filter(p => predicted[from + p] === predicted[from + centre]).length / inside.length),
  };
}

function weightNumbers({ axis, clean, adv, density, recraft }: WeightSurfaces): ExplainSummary['weights'] {
  const of = (values: Float32Array) => ({
    centreLoss: values[(values.length - 1) / 2],
    largestLoss: values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
  });
  return { grid: axis.length, radius: axis[axis.length - 1], density, recraft, clean: of(clean), adv: of(adv) };
}
