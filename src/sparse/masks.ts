/**
 * Masks of a model: one 0/1 tensor for each weight of a convolution or linear layer, made and updated on the device. How many weights are
 * active is known on the host at all times, so an update of Flying Bird or RigL reads nothing back; the rules that need values say so.
 */

import type { Module, Parameter } from '../nn/module.ts';
import { elementwise } from '../tensor/elementwise.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { randomUniform } from '../tensor/random.ts';
import { sum } from '../tensor/reduce.ts';
import { selectMask } from '../tensor/select.ts';
import { copyInto } from '../tensor/shape.ts';
import { ones, scope, type Tensor } from '../tensor/tensor.ts';
import { apportion } from './apportion.ts';
import { type Death, type DeathRule, deathRules } from './death/index.ts';
import { type Initialiser, keptCount, layerDensities, type MaskedLayer } from './densities/index.ts';
import { type Decisions, decisionRatios, type UpdateCounts, updateCounts } from './flying-bird.ts';
import { type Growth, type GrowthRule, growthRules } from './growth/index.ts';
import type { LayerState } from './layer.ts';
import { measureLayers } from './measure.ts';
import { type Redistribution, type RedistributionRule, redistributionRules } from './redistribution/index.ts';

export type { Growth } from './growth/index.ts';

export interface UpdateOptions {
  /** Fraction r of the active weights that is dropped. */
  rate: number;
  growth: Growth;
  /** Magnitude by default. */
  death?: Death;
  /** |w| at or below which death by threshold drops. */
  deathThreshold?: number;
  /** None by default. */
  redistribution?: Redistribution;
  /** Flying Bird+'s; neither by default. */
  decisions?: Decisions;
  /** What Flying Bird+ drops further when it prunes, as a fraction of what is dropped: .4 by default. */
  pruneRatio?: number;
  /** What Flying Bird+ grows further when it grows, as a fraction of what is grown: .05 by default. */
  growthRatio?: number;
}

/** What rules that rank by gradient or momentum look at: dense tensors by parameter name. Those that no rule of the update needs may be absent. */
export type DenseTensors = Partial<Record<'gradient' | 'momentum', ReadonlyMap<string, Tensor>>>;

/** Weights that masks apply to: those of convolutions and linear layers (4-D and 2-D). */
export function maskedParameters(model: Module): Map<string, Parameter> {
  return new Map([...model.parameters()].filter(([, p]) => p.rank === 4 || p.rank === 2));
}

/**
 * The growth of all layers shared out anew, its sum unchanged. A layer that loses all its weights gets one back, since an empty layer cuts the network in
 * two and its share would be 0 for ever; and one place stays free in each, since a layer that became dense would be left alone for ever.
 */
function shareGrowth(layers: readonly LayerState[], counts: readonly UpdateCounts[], shares: readonly number[]): number[] {
  const total = counts.reduce((n, c) => n + c.grow, 0);
  const least: number[] = layers.map(({ nnz }, i) => (nnz > 0 && counts[i].drop === nnz ? 1 : 0));
  const room = layers.map(({ size, nnz }, i) => size - nnz + counts[i].drop - 1 - least[i]);
  const free = apportion(total - least.reduce((a, b) => a + b, 0), shares, room);
  return free.map((n, i) => n + least[i]);
}

/** The masks of a network's layers: their initial draw, their updates, and exact counts of what is active. */
export class Masks {
  readonly layers: readonly MaskedLayer[];
  /** 1 where a weight is active. */
  readonly masks = new Map<string, Tensor>();
  /** 1 where a weight was ever active: the in-time over-parameterisation of Liu et al. 2021. */
  readonly fired = new Map<string, Tensor>();
  /** The masks as they were when `distance` was last asked. */
  readonly earlier = new Map<string, Tensor>();
  private readonly counts = new Map<string, number>();
  private readonly weights: ReadonlyMap<string, Parameter>;
  /** The stream that masks are drawn from. */
  readonly random: Random;

  /** Dense masks; see `initialise`. */
  constructor(model: Module, seed: number) {
    this.weights = maskedParameters(model);
    this.random = new Random(seed, Stream.mask);
    this.layers = [...this.weights].map(([name, p]) => ({ name, shape: p.shape, size: p.size }));
    for (const [name, p] of this.weights) {
      this.masks.set(name, ones(p.device, p.shape).keep());
      this.fired.set(name, ones(p.device, p.shape).keep());
      this.earlier.set(name, ones(p.device, p.shape).keep());
      this.counts.set(name, p.size);
    }
  }

  /** Draws masks of exactly the layers' counts at random without replacement, and zeroes the other weights. */
  initialise(density: number, how: Initialiser): void {
    const densities = layerDensities(this.layers, density, how);
    this.layers.forEach(({ name, size }, i) => {
      const kept = keptCount(size, densities[i]);
      const p = this.weights.get(name)!;
      scope(p.device, () => {
        const chosen = selectMask(randomUniform(p.device, p.shape, this.random), kept);
        copyInto(chosen, this.masks.get(name)!);
        copyInto(chosen, this.fired.get(name)!);
        copyInto(chosen, this.earlier.get(name)!);
      });
      this.counts.set(name, kept);
    });
    this.apply();
  }

  /** Makes every inactive weight exactly 0. */
  apply(): void {
    for (const [name, p] of this.weights) {
      this.tell(name);
      scope(p.device, () => copyInto(elementwise('mul', [p, this.masks.get(name)!]), p));
    }
  }

  /** Sets masks and their counts, by name, and zeroes the other weights. @param counts active weights of each */
  adopt(masks: ReadonlyMap<string, Tensor>, counts: ReadonlyMap<string, number>): void {
    for (const { name } of this.layers) {
      for (const own of [this.masks, this.fired, this.earlier]) copyInto(masks.get(name)!, own.get(name)!);
      this.counts.set(name, counts.get(name)!);
    }
    this.apply();
  }

  /** Lets kernels know how much of a layer is left; of a step that was captured before they do not. */
  private tell(name: string): void {
    const p = this.weights.get(name)!;
    p.density = this.nnz(name) / p.size;
  }

  /** The layers as rules see them. */
  private states(momentum: ReadonlyMap<string, Tensor>, { gradient }: DenseTensors): LayerState[] {
    return this.layers.map(({ name, shape, size }) => ({
      name,
      shape,
      size,
      nnz: this.counts.get(name)!,
      weight: this.weights.get(name)!,
      mask: this.masks.get(name)!,
      momentum: momentum.get(name),
      gradient: gradient?.get(name),
    }));
  }

  /**
   * One update of every layer: drops active weights by the death rule, then grows as many by the growth rule among the inactive, the just-dropped included
   * (one that is dropped and grown at once keeps its value; others start at 0). Redistribution moves growth between layers, and leaves the sum. Ties go by
   * lowest index. Fully dense layers are left alone.
   * @param dense what rules rank by @param momentum what is dropped loses its momentum too
   */
  async update(
    options: UpdateOptions,
    dense: DenseTensors = {},
    momentum: ReadonlyMap<string, Tensor> = new Map(),
  ): Promise<void> {
    const death: DeathRule = deathRules[options.death ?? 'magnitude'];
    const growth: GrowthRule = growthRules[options.growth];
    const redistribution: RedistributionRule | undefined = redistributionRules[options.redistribution ?? 'none'];
    const layers = this.states(momentum, dense).filter(l => l.nnz < l.size);
    for (const { name, gradient } of layers)
      if (death.needs && !gradient) throw new Error(`death by ${options.death} needs the gradient of ${name}`);
    const [dying, weighing] = await measureLayers(layers, [
      death.measure && (l => death.measure!(l, options.deathThreshold ?? 0)),
      redistribution?.measure,
    ]);
    const { decisions = { prune: false, grow: false } } = options;
    const { pruneRatio = decisionRatios.prune, growthRatio = decisionRatios.grow } = options;
    const counts = layers.map((layer, i) => {
      const amount = death.amount?.(layer, dying[i]) ?? options.rate * layer.nnz;
      return updateCounts(layer.nnz, layer.size, amount, decisions, { pruneRatio, growthRatio });
    });
    if (redistribution) {
      const shares = layers.map((l, i) => redistribution.share(l, weighing[i]));
      shareGrowth(layers, counts, shares).forEach((grow, i) => {
        counts[i].grow = grow;
      });
    }
    for (const [i, layer] of layers.entries()) {
      const { drop, grow } = counts[i];
      if (drop === 0 && grow === 0) continue;
      const score = growth.needs && dense[growth.needs]?.get(layer.name);
      if (growth.needs && !score) throw new Error(`growth by ${options.growth} needs a score for ${layer.name}`);
      const { device } = layer.mask;
      const kept = scope(device, () => elementwise('sub', [layer.mask, death.select(layer, drop, dying[i])]));
      const grown = await growth.select(layer, kept, grow, score, this.random);
      scope(device, () => this.move(layer, elementwise('add', [kept, grown])));
      kept.dispose();
      grown.dispose();
      this.counts.set(layer.name, layer.nnz - drop + grow);
      this.tell(layer.name);
    }
  }

  /** Makes `next` the mask of a layer: nothing outside of it, momentum neither. */
  private move({ name, weight, mask, momentum }: LayerState, next: Tensor): void {
    copyInto(next, mask);
    copyInto(elementwise('max', [this.fired.get(name)!, next]), this.fired.get(name)!);
    copyInto(elementwise('mul', [weight, next]), weight);
    if (momentum) copyInto(elementwise('mul', [momentum, next]), momentum);
  }

  /** Active weights of a layer. */
  nnz(name: string): number {
    return this.counts.get(name)!;
  }

  /** Names of the layers without an active weight: nothing passes through them. */
  get emptyLayers(): string[] {
    return this.layers.flatMap(({ name }) => (this.nnz(name) === 0 ? [name] : []));
  }

  /** Active over all weights. */
  density(): number {
    const total = this.layers.reduce((n, l) => n + l.size, 0);
    return this.layers.reduce((n, l) => n + this.nnz(l.name), 0) / total;
  }

  /** The share of weights that were ever active, Rs. Reads back. */
  async firedRate(): Promise<number> {
    let fired = 0;
    let total = 0;
    for (const { name, size } of this.layers) {
      fired += (await this.fired.get(name)!.floats()).reduce((a, b) => a + b, 0);
      total += size;
    }
    return fired / total;
  }

  /** The share of weights whose mask is another than when this was last asked: the normalised Hamming distance. Reads back once. */
  async distance(): Promise<number> {
    const [differing] = await measureLayers(this.states(new Map(), {}), [
      ({ name, mask }) => sum(elementwise('abs', [elementwise('sub', [mask, this.earlier.get(name)!])])),
    ]);
    for (const [name, mask] of this.masks) copyInto(mask, this.earlier.get(name)!);
    return differing.reduce((n, d) => n + d, 0) / this.layers.reduce((n, l) => n + l.size, 0);
  }

  /** Masks, fired weights and earlier masks (absent: the masks) from the host, and the state of the random stream. */
  restore(
    masks: ReadonlyMap<string, ArrayLike<number>>,
    fired: ReadonlyMap<string, ArrayLike<number>>,
    draw: number,
    earlier: ReadonlyMap<string, ArrayLike<number>> = new Map(),
  ): void {
    for (const { name } of this.layers) {
      const mask = masks.get(name);
      if (!mask) throw new Error(`no mask for ${name}`);
      this.masks.get(name)!.write(mask);
      this.fired.get(name)!.write(fired.get(name) ?? mask);
      this.earlier.get(name)!.write(earlier.get(name) ?? mask);
      this.counts.set(
        name,
        Array.from(mask).reduce((a, b) => a + b, 0),
      );
      this.tell(name);
    }
    this.random.draw = draw;
  }

  /** Draws made so far. */
  get draw(): number {
    return this.random.draw;
  }

  dispose(): void {
    for (const t of [this.masks, this.fired, this.earlier].flatMap(group => [...group.values()])) t.dispose();
  }
}
