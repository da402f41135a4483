/** The work of a run, from the densities that its epochs ended with. */
import { flopsFormula, inferenceMacs } from '../sparse/flops.ts';
import type { TrainResult } from './api.ts';
import type { EpochHistory } from './metrics.ts';

/** Multiply-adds of one image for each layer's weight. */
export interface LayerMacs {
  readonly now: ReadonlyMap<string, number>;
  /** Before channels were removed; the same where none were. */
  readonly whole: ReadonlyMap<string, number>;
}

/**
 * Multiply-adds of inference with the final network and of the whole training, dense and real: with the channels that are left,
 * at each epoch's densities.
 * @param passes of all training images of an epoch, in forward passes of one image @param passesText the passes of one image in
 * words
 */
export function countWork(
  macs: LayerMacs,
  history: readonly EpochHistory[],
  passes: number,
  passesText: string,
): TrainResult['flops'] {
  const workOf = ({ layers }: EpochHistory) => {
    const density = new Map(layers?.map(l => [l.name, l.nnz / l.size]));
    return inferenceMacs(macs.now, name => density.get(name) ?? 1).real;
  };
  const dense = inferenceMacs(macs.whole, () => 1).real;
  return {
    inferenceDense: dense,
    inferenceReal: workOf(history.at(-1)!),
    trainingDense: passes * dense * history.length,
    trainingReal: history.reduce((total, epoch) => total + passes * workOf(epoch), 0),
    formula: flopsFormula(passesText),
  };
}
