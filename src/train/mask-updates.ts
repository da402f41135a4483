/** When masks are updated during a run, and by which numbers. */
import { deathRate, decide } from '../sparse/flying-bird.ts';
import type { UpdateOptions } from '../sparse/masks.ts';
import { maskRule, type TrainConfig } from './config.ts';
import type { EpochHistory } from './metrics.ts';

/** Where a run stands. */
export interface Position {
  /** Optimiser steps done, and of the whole run. */
  readonly steps: number;
  readonly total: number;
  /** The current epoch, from 0, and the complete ones. */
  readonly epoch: number;
  readonly history: readonly EpochHistory[];
}

/** The death rate r after so many steps: it has come down where updates end. */
export function rateAt({ deathRate: initial, updateEnd, decaySchedule }: TrainConfig, steps: number, total: number): number {
  return deathRate(initial, steps, total * updateEnd, decaySchedule);
}

/**
 * The update that is due, if one is: every `--update-frequency` steps until `--update-end` (with `--dynamic-fre` every `--second-frequency` in the second
 * half). `deciding`: the two decisions of Flying Bird+ were taken for it.
 */
export function plannedUpdate(config: TrainConfig, at: Position): { update: UpdateOptions; deciding: boolean } | undefined {
  const every = config.dynamicFre && at.epoch > config.epochs / 2 ? config.secondFrequency : config.updateFrequency;
  if (at.steps % every !== 0 || at.steps > config.updateEnd * at.total) return undefined;
  const deciding = maskRule(config) === 'fbp' && at.epoch >= config.dynamicEpoch;
  const decisions = deciding ? decide(at.history, config.epochRange, config.updateThreshold) : { prune: false, grow: false };
  const { growth, death, deathThreshold, redistribution, pruneRatio, growthRatio } = config;
  const rate = rateAt(config, at.steps, at.total);
  return { update: { rate, growth, death, deathThreshold, redistribution, decisions, pruneRatio, growthRatio }, deciding };
}
