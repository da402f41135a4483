/** When masks are updated during a run, and by which numbers. */
import { deathRate, decide, type EpochSigns } from '../sparse/flying-bird.ts';
import type { UpdateOptions } from '../sparse/masks.ts';
import { maskRule, type TrainConfig } from './config.ts';
import type { EpochHistory } from './metrics.ts';

/** Where a run stands. */
export interface Position {
  /** Batches done, of an epoch, and of the whole run. */
  readonly done: number;
  readonly perEpoch: number;
  readonly total: number;
  /** Optimiser steps on a batch: one, but the replays of free training. */
  readonly updates: number;
  /** The current epoch, from 0, and the complete ones. */
  readonly epoch: number;
  readonly history: readonly EpochHistory[];
}

/** The death rate r after so many batches of all: it has come down where updates end. */
export function rateAt({ deathRate: initial, updateEnd, decaySchedule }: TrainConfig, done: number, total: number): number {
  return deathRate(initial, done, total * updateEnd, decaySchedule);
}

/** Whether so many batches of all are beyond `--update-end`: no update is due any more. */
export const updatesOver = ({ updateEnd }: TrainConfig, done: number, total: number): boolean => done > updateEnd * total;

/**
 * Whether a batch reaches or passes a multiple of the interval, which counts optimiser steps. Masks stay within a batch: where it has several steps, what
 * falls due in it waits for its end. At the end of the last epoch SET only removes (Mocanu et al. 2018, algorithm 1), which would leave another
 * density: there an interval of one epoch has no update.
 */
function isDue(config: TrainConfig, { done, perEpoch, total, updates, epoch }: Omit<Position, 'history'>): boolean {
  const late = config.dynamicFre && epoch > config.epochs / 2;
  const every = late ? config.secondFrequency : config.updateFrequency;
  if (updatesOver(config, done, total)) return false;
  if (every === 'epoch') return done % perEpoch === 0 && done < total;
  return Math.floor((done * updates) / every) > Math.floor(((done - 1) * updates) / every);
}

/** An update with everything said. */
export type PlannedUpdate = Required<UpdateOptions>;

/** What decisions look at: accuracies of one kind. Standard training has no accuracy under attack on training images, so its gap is that of clean ones. */
const signsOf = ({ mode }: TrainConfig, history: readonly EpochHistory[]): readonly EpochSigns[] =>
  mode === 'sgd' ? history.map(epoch => ({ ...epoch, valRa: epoch.valSa })) : history;

/**
 * The update that is due, if one is: every `--update-frequency` optimiser steps until `--update-end` (with `--dynamic-fre` every `--second-frequency` in
 * the second half). `deciding`: the two decisions of Flying Bird+ were taken for it.
 */
export function plannedUpdate(config: TrainConfig, at: Position): { update: PlannedUpdate; deciding: boolean } | undefined {
  if (!isDue(config, at)) return undefined;
  const deciding = maskRule(config) === 'fbp' && at.epoch >= config.dynamicEpoch;
  const decisions = deciding
    ? decide(signsOf(config, at.history), config.epochRange, config.updateThreshold)
    : { prune: false, grow: false };
  const { growth, death, deathThreshold, redistribution, pruneRatio, growthRatio } = config;
  const rate = rateAt(config, at.done, at.total);
  return { update: { rate, growth, death, deathThreshold, redistribution, decisions, pruneRatio, growthRatio }, deciding };
}

/**
 * What to tell the user of a run in which nothing ever falls due: masks that stay as they begin, or Flying Bird+ that never decides.
 * @param perEpoch batches of an epoch @param updates optimiser steps on a batch @param density of the initial mask
 */
export function idleNotice(config: TrainConfig, perEpoch: number, updates: number, density: number): string | undefined {
  const { epochs, updateEnd, updateFrequency, dynamicFre, secondFrequency, dynamicEpoch } = config;
  const total = epochs * perEpoch;
  const isAnyDueFrom = (first: number) => {
    for (let done = first * perEpoch + 1; done <= total; done++)
      if (isDue(config, { done, perEpoch, total, updates, epoch: Math.floor((done - 1) / perEpoch) })) return true;
    return false;
  };
  const rule = maskRule(config);
  if (density === 1) return `--${rule}: the mask never moves: --density ${config.density} leaves every layer dense; lower it`;
  if (!isAnyDueFrom(0)) {
    const steps = Math.floor(updateEnd * total) * updates;
    const where = `the run's ${steps} optimiser steps${updateEnd < 1 ? ` until --update-end ${updateEnd}` : ''}`;
    const second = dynamicFre ? ` and --second-frequency ${secondFrequency}` : '';
    const remedy = steps === 0 ? 'raise --update-end' : dynamicFre ? 'lower them' : 'lower it';
    return `--${rule}: the mask never moves: no update is due in ${where} with --update-frequency ${updateFrequency}${second}; ${remedy}`;
  }
  if (rule === 'fbp' && !isAnyDueFrom(dynamicEpoch))
    return `--fbp: never decides: no mask update of epochs 0-${epochs - 1} is due from --dynamic-epoch ${dynamicEpoch} on; lower it`;
  return undefined;
}
