/**
 * Masks of a model: one 0/1 tensor for each weight of a convolution or linear layer, made and updated on the device. How many weights are
 * active is known on the host at all times, so an update reads nothing back.
 */

import type { Module, Parameter } from '../nn/module.ts';
import { elementwise } from '../tensor/elementwise.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { randomUniform } from '../tensor/random.ts';
import { selectMask } from '../tensor/select.ts';
import { copyInto } from '../tensor/shape.ts';
import { ones, scope, type Tensor } from '../tensor/tensor.ts';
import { type Initialiser, keptCount, layerDensities, type MaskedLayer } from './densities.ts';
import { type Decisions, updateCounts } from './flying-bird.ts';

export type Growth = 'random' | 'gradient' | 'momentum';

export interface UpdateOptions {
  /** Fraction r of the active weights that is dropped. */
  rate: number;
  growth: Growth;
  decisions: Decisions;
  pruneRatio: number;
  growthRatio: number;
}

/** What growth by gradient or momentum looks at: a dense tensor by parameter name. */
export type GrowthScores = ReadonlyMap<string, Tensor>;

/** Weights that masks apply to: those of convolutions and linear layers (4-D and 2-D). */
export function maskedParameters(model: Module): Map<string, Parameter> {
  return new Map([...model.parameters()].filter(([, p]) => p.rank === 4 || p.rank === 2));
}

export class Masks {
  readonly layers: readonly MaskedLayer[];
  /** 1 where a weight is active. */
  readonly masks = new Map<string, Tensor>();
  /** 1 where a weight was ever active: the in-time over-parameterisation of Liu et al. 2021. */
  readonly fired = new Map<string, Tensor>();
  private readonly counts = new Map<string, number>();
  private readonly weights: ReadonlyMap<string, Parameter>;
  private readonly random: Random;

  /** Dense masks; see `initialise`. */
  constructor(model: Module, seed: number) {
    this.weights = maskedParameters(model);
    this.random = new Random(seed, Stream.mask);
    this.layers = [...this.weights].map(([name, p]) => ({ name, shape: p.shape, size: p.size }));
    for (const [name, p] of this.weights) {
      this.masks.set(name, ones(p.device, p.shape).keep());
      this.fired.set(name, ones(p.device, p.shape).keep());
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
      });
      this.counts.set(name, kept);
    });
    this.apply();
  }

  /** Makes every inactive weight exactly 0. */
  apply(): void {
    for (const [name, p] of this.weights) {
      scope(p.device, () => copyInto(elementwise('mul', [p, this.masks.get(name)!]), p));
    }
  }

  /**
   * One update of every layer: drops the smallest active |w|, then grows as many where the scores are largest among the inactive, the
   * just-dropped included (one that is dropped and grown at once keeps its value; others start at 0). Ties go by lowest index.
   * @param momentum by parameter name: what is dropped loses its momentum too
   */
  update(options: UpdateOptions, scores: GrowthScores = new Map(), momentum: ReadonlyMap<string, Tensor> = new Map()): void {
    for (const { name, size } of this.layers) {
      const nnz = this.counts.get(name)!;
      const { drop, grow } = updateCounts(nnz, size, options.rate, options.decisions, options);
      if (drop === 0 && grow === 0) continue;
      const p = this.weights.get(name)!;
      const mask = this.masks.get(name)!;
      scope(p.device, () => {
        const dropped = selectMask(p, drop, { by: 'smallestMagnitude', among: { mask, is: 'active' } });
        const kept = elementwise('sub', [mask, dropped]);
        const score = options.growth === 'random' ? randomUniform(p.device, p.shape, this.random) : scores.get(name);
        if (!score) throw new Error(`growth by ${options.growth} needs a score for ${name}`);
        const grown = selectMask(score, grow, { by: 'magnitude', among: { mask: kept, is: 'inactive' } });
        const next = elementwise('add', [kept, grown]);
        copyInto(next, mask);
        copyInto(elementwise('max', [this.fired.get(name)!, next]), this.fired.get(name)!);
        copyInto(elementwise('mul', [p, next]), p);
        const v = momentum.get(name);
        if (v) copyInto(elementwise('mul', [v, next]), v);
      });
      this.counts.set(name, nnz - drop + grow);
    }
  }

  /** Active weights of a layer. */
  nnz(name: string): number {
    return this.counts.get(name)!;
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

  /** Masks and fired weights from the host, and the state of the random stream. */
  restore(masks: ReadonlyMap<string, ArrayLike<number>>, fired: ReadonlyMap<string, ArrayLike<number>>, draw: number): void {
    for (const { name } of this.layers) {
      const mask = masks.get(name);
      if (!mask) throw new Error(`no mask for ${name}`);
      this.masks.get(name)!.write(mask);
      this.fired.get(name)!.write(fired.get(name) ?? mask);
      this.counts.set(
        name,
        Array.from(mask).reduce((a, b) => a + b, 0),
      );
    }
    this.random.draw = draw;
  }

  /** Draws made so far. */
  get draw(): number {
    return this.random.draw;
  }

  dispose(): void {
    for (const t of [...this.masks.values(), ...this.fired.values()]) t.dispose();
  }
}
