/**
 * The rules of Flying Bird and Flying Bird+ (Chen et al. 2022, "Sparsity Winning Twice", algorithm 1): how many weights an update drops and grows,
 * and the two network-wide decisions of Flying Bird+.
 */

export type Decay = 'cosine' | 'linear' | 'constant';

/** Where the death rate ends, if it does not begin lower. */
export const FINAL_DEATH_RATE = 0.005;

/**
 * The death rate r after `iteration` of `total` optimiser steps: from `initial` to .005 along half a cosine, or a line, or unchanged. A rate that begins
 * lower stays.
 */
export function deathRate(initial: number, iteration: number, total: number, decay: Decay): number {
  const t = Math.min(1, iteration / Math.max(1, total));
  const final = decay === 'constant' ? initial : Math.min(initial, FINAL_DEATH_RATE);
  if (decay === 'linear') return initial + (final - initial) * t;
  return final + ((initial - final) * (1 + Math.cos(Math.PI * t))) / 2;
}

/** What Flying Bird+ decided at an update. */
export interface Decisions {
  /** Drop prune_ratio·r·nnz more. */
  prune: boolean;
  /** Grow 1 + growth_ratio times as many. */
  grow: boolean;
}

/** What decisions look at, of one epoch. */
export interface EpochSigns {
  trainRa: number;
  valRa: number;
  /** Validation loss under PGD-20. */
  valLoss: number;
}

/**
 * From the last `range` epoch-to-epoch differences: prune if at least `threshold` of the differences of (train RA - val RA) are > 0 (the
 * robust gap widens), grow if at least `threshold` of the differences of the validation loss are >= 0 (it does not fall). Fewer differences
 * are used where there are not as many yet; with none neither holds.
 */
export function decide(history: readonly EpochSigns[], range: number, threshold: number): Decisions {
  const recent = history.slice(-(range + 1));
  const differences = (f: (e: EpochSigns) => number) => recent.slice(1).map((e, i) => f(e) - f(recent[i]));
  const share = (values: number[], test: (d: number) => boolean) =>
    values.length === 0 ? -1 : values.filter(test).length / values.length;
  return {
    prune:
      share(
        differences(e => e.trainRa - e.valRa),
        d => d > 0,
      ) >= threshold,
    grow:
      share(
        differences(e => e.valLoss),
        d => d >= 0,
      ) >= threshold,
  };
}

/** What Flying Bird+'s decisions add to what an update drops and grows, as fractions of it, where nothing else is said. */
export const decisionRatios = { prune: 0.4, grow: 0.05 } as const;

export interface UpdateCounts {
  drop: number;
  grow: number;
}

/**
 * Weights that one layer drops and grows: ceil(amount) of each; with `prune` another ceil(pruneRatio·amount) are dropped and not grown back, with
 * `grow` growth is (1 + growthRatio) times. Never more than there are. A fully dense layer is left alone.
 * @param amount r·nnz, unless the death rule has a count of its own
 */
export function updateCounts(
  nnz: number,
  size: number,
  amount: number,
  decisions: Decisions,
  ratios: { pruneRatio: number; growthRatio: number },
): UpdateCounts {
  if (nnz === size) return { drop: 0, grow: 0 };
  const base = Math.ceil(amount);
  const drop = Math.min(nnz, base + (decisions.prune ? Math.ceil(ratios.pruneRatio * amount) : 0));
  const wanted = decisions.grow ? Math.floor(base * (1 + ratios.growthRatio)) : base;
  return { drop, grow: Math.min(wanted, size - (nnz - drop)) };
}
