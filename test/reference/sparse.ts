/**
 * Masks: how dense each layer starts and how Flying Bird moves one layer's mask. Sources: Evci et al., "Rigging the Lottery" (ICML 2020)
 * for ER and ERK; Chen et al., "Sparsity Winning Twice" (ICLR 2022) for the rest. A mask is an array of 0 and 1.
 */
import { type Ref, ref, sizeOf } from './array.ts';
import { cosine } from './optim.ts';
import { rankAscending, rankDescending, topKMask } from './select.ts';

type Shape = readonly number[];

/** The same density in every layer. */
export function uniformDensities(shapes: readonly Shape[], density: number): number[] {
  return shapes.map(() => density);
}

/** Erdos-Renyi-kernel: density = e·(sum of dimensions)/(product of dimensions). */
export function erkDensities(shapes: readonly Shape[], density: number): number[] {
  return scaledDensities(shapes, density, shape => shape.reduce((sum, n) => sum + n, 0) / sizeOf(shape));
}

/** Erdos-Renyi: as ERK, by the numbers of output and input channels alone. */
export function erDensities(shapes: readonly Shape[], density: number): number[] {
  return scaledDensities(shapes, density, ([outputs, inputs]) => (outputs + inputs) / (outputs * inputs));
}

/**
 * Densities e·raw_l with e such that the total is the global density. A layer that would be above 1 becomes dense, and e is solved again
 * for the others: e = (target - weights in dense layers) / (sum of raw_l·n_l over the others).
 */
function scaledDensities(shapes: readonly Shape[], density: number, rawOf: (shape: Shape) => number): number[] {
  const sizes = shapes.map(sizeOf);
  const raw = shapes.map(rawOf);
  const target = density * sizes.reduce((sum, n) => sum + n, 0);
  const dense = new Set<number>();
  for (;;) {
    let remaining = target;
    let weighted = 0;
    sizes.forEach((n, layer) => {
      if (dense.has(layer)) remaining -= n;
      else weighted += raw[layer] * n;
    });
    const e = remaining / weighted;
    const largest = Math.max(...raw.filter((_, layer) => !dense.has(layer)));
    if (dense.size === shapes.length || e * largest <= 1) return raw.map((value, layer) => (dense.has(layer) ? 1 : e * value));
    raw.forEach((value, layer) => {
      if (value === largest) dense.add(layer);
    });
  }
}

/** IGQ: density_l = 1/(F·n_l + 1), F bisected between 0 and 1e20 until the total is within one weight of the target. */
export function igqDensities(shapes: readonly Shape[], density: number): number[] {
  const sizes = shapes.map(sizeOf);
  const target = density * sizes.reduce((sum, n) => sum + n, 0);
  let low = 0;
  let high = 1e20;
  for (let force = low; ; force = (low + high) / 2) {
    const densities = sizes.map(n => 1 / (force * n + 1));
    const excess = densities.reduce((sum, d, layer) => sum + d * sizes[layer], 0) - target;
    if (Math.abs(excess) < 1) return densities;
    if (excess > 0) low = force;
    else high = force;
  }
}

/** How many of n weights are active at a layer density: n less int((1 - density)·n). */
export function activeCount(size: number, density: number): number {
  return size - Math.trunc((1 - density) * size);
}

/** A random mask with the exact count: the weights with the largest of the given (random) scores are active. */
export function maskFromScores(scores: Ref, density: number): Ref {
  return topKMask(scores, activeCount(scores.data.length, density));
}

/**
 * Global selection: of all layers' scores together, the `keep` largest are active. Ties go to the earlier layer, then to the lower
 * index. For magnitude pruning the score is |w|, for SNIP |w·dL/dw|.
 */
export function globalTopK(scores: readonly Ref[], keep: number): Ref[] {
  const all = Float64Array.from(scores.flatMap(layer => Array.from(layer.data)));
  const masks = scores.map(layer => ref(layer.shape));
  const starts = scores.map((_, layer) => scores.slice(0, layer).reduce((sum, s) => sum + s.data.length, 0));
  for (const position of rankDescending(all).slice(0, keep)) {
    const layer = starts.findLastIndex(start => start <= position);
    masks[layer].data[position - starts[layer]] = 1;
  }
  return masks;
}

/** SNIP's connection sensitivity |dL/dm| at m = 1, which is |w·dL/dw|. */
export function snipScores(weight: Ref, gradient: Ref): Ref {
  return ref(
    weight.shape,
    weight.data.map((w, i) => Math.abs(w * gradient.data[i])),
  );
}

export type DeathSchedule = 'cosine' | 'linear' | 'constant';

/** Drop rate r at an iteration: from `start` at 0 to `end` at the last by half a cosine or a line, or unchanged. */
export function deathRate(schedule: DeathSchedule, iteration: number, total: number, start = 0.5, end = 0.005): number {
  if (schedule === 'constant') return start;
  if (schedule === 'linear') return start + ((end - start) * iteration) / total;
  return cosine(start, iteration, total, end);
}

/** The two decisions of Flying Bird+ for one update. */
export interface Decisions {
  prune: boolean;
  grow: boolean;
}

/** Values at the end of every epoch so far, oldest first. */
export interface History {
  trainRa: readonly number[];
  valRa: readonly number[];
  valLoss: readonly number[];
}

/**
 * Looks at the last `range` differences from one epoch to the next (fewer if there are fewer; with none, neither holds). Prune: at least
 * `threshold` of those of (train RA - validation RA) are above 0. Grow: at least `threshold` of those of the validation loss are >= 0.
 */
export function decide(history: History, range = 4, threshold = 0.5): Decisions {
  const differences = (values: readonly number[]) =>
    values
      .slice(1)
      .map((value, i) => value - values[i])
      .slice(-range);
  const fraction = (values: number[], test: (value: number) => boolean) => values.filter(test).length / values.length;
  const gaps = differences(history.trainRa.map((train, epoch) => train - history.valRa[epoch]));
  const losses = differences(history.valLoss);
  return {
    prune: gaps.length > 0 && fraction(gaps, d => d > 0) >= threshold,
    grow: losses.length > 0 && fraction(losses, d => d >= 0) >= threshold,
  };
}

export interface UpdateOptions {
  /** Drop rate of this update. */
  r: number;
  decisions?: Decisions;
  pruneRatio?: number;
  growthRatio?: number;
}

/**
 * One Flying Bird update of one layer.
 *
 * Drop: of the nnz active weights the ceil(r·nnz) smallest |w|, and ceil(pruneRatio·r·nnz) more when pruning. Grow: among all that are
 * inactive then, the just-dropped included, the largest |score|: as many as were dropped without the extra ones, times 1 + growthRatio
 * rounded down when growing. Ties by lowest index. A weight that was dropped and grown back keeps value and velocity; others that were
 * grown start at 0. A fully dense layer is left alone.
 *
 * @param growthScore what growth ranks: the dense gradient, the dense momentum, or random numbers in [0, 1).
 */
export function flyingBirdUpdate(
  weight: Ref,
  velocity: Ref,
  mask: Ref,
  growthScore: Ref,
  options: UpdateOptions,
): { weight: Ref; velocity: Ref; mask: Ref } {
  const { r, decisions = { prune: false, grow: false }, pruneRatio = 0.4, growthRatio = 0.05 } = options;
  const size = mask.data.length;
  const active = Array.from(mask.data.keys()).filter(i => mask.data[i] !== 0);
  const nnz = active.length;
  if (nnz === size) return { weight, velocity, mask };

  const base = Math.min(Math.ceil(r * nnz), nnz);
  const extra = decisions.prune ? Math.ceil(pruneRatio * (r * nnz)) : 0;
  const smallestFirst = rankAscending(active.map(i => Math.abs(weight.data[i]))).map(rank => active[rank]);
  const next = ref(mask.shape, mask.data);
  for (const i of smallestFirst.slice(0, base + extra)) next.data[i] = 0;

  const inactive = Array.from(next.data.keys()).filter(i => next.data[i] === 0);
  const growth = decisions.grow ? Math.floor(base * (1 + growthRatio)) : base;
  const largestFirst = rankDescending(inactive.map(i => Math.abs(growthScore.data[i]))).map(rank => inactive[rank]);
  for (const i of largestFirst.slice(0, growth)) next.data[i] = 1;

  const survives = (value: number, i: number) => (mask.data[i] !== 0 && next.data[i] !== 0 ? value : 0);
  return {
    weight: ref(weight.shape, weight.data.map(survives)),
    velocity: ref(velocity.shape, velocity.data.map(survives)),
    mask: next,
  };
}

/** A layer for counting: the weight's shape and how many output positions it is applied at. */
export interface Layer {
  name: string;
  shape: number[];
  positions: number;
}

/** The convolutions and the linear layer of PreActResNet-18 for square images, in the order of the network. */
export function preActResNet18Layers(width: number, classes: number, imageSize: number): Layer[] {
  const layers: Layer[] = [{ name: 'conv1', shape: [width, 3, 3, 3], positions: imageSize ** 2 }];
  let inputs = width;
  let size = imageSize;
  for (let stage = 0; stage < 4; stage++) {
    const outputs = width * 2 ** stage;
    if (stage > 0) size = Math.ceil(size / 2);
    for (let block = 0; block < 2; block++) {
      const name = `layer${stage + 1}.${block}`;
      const positions = size ** 2;
      layers.push({ name: `${name}.conv1`, shape: [outputs, inputs, 3, 3], positions });
      layers.push({ name: `${name}.conv2`, shape: [outputs, outputs, 3, 3], positions });
      if (inputs !== outputs) layers.push({ name: `${name}.shortcut.0`, shape: [outputs, inputs, 1, 1], positions });
      inputs = outputs;
    }
  }
  layers.push({ name: 'linear', shape: [classes, inputs], positions: 1 });
  return layers;
}

/** Multiply-adds of one image's forward pass: weights (active ones, at the given layer densities) times output positions. */
export function multiplyAdds(layers: readonly Layer[], densities: readonly number[] = layers.map(() => 1)): number {
  return layers.reduce((sum, layer, i) => sum + sizeOf(layer.shape) * densities[i] * layer.positions, 0);
}
