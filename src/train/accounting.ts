/** The work of a run, from the densities that its epochs ended with. */
import { flopsFormula, inferenceMacs } from '../sparse/flops.ts';
import type { TrainResult } from './api.ts';
import type { EpochHistory } from './metrics.ts';

/**
 * Multiply-adds of inference with the final network and of the whole training, dense and at each epoch's densities.
 * @param macs of each layer's weight for one image @param passes of all training images of an epoch, in forward passes of one image
 * @param passesText the passes of one image in words
 */
export function countWork(
  macs: ReadonlyMap<string, number>,
  history: readonly EpochHistory[],
  passes: number,
  passesText: string,
): TrainResult['flops'] {
  const workOf = ({ layers }: EpochHistory) => {
    const density = new Map(layers?.map(l => [l.name, l.nnz / l.size]));
    return inferenceMacs(macs, name => density.get(name) ?? 1);
  };
  const { dense, real } = workOf(history.at(-1)!);
  return {
    inferenceDense: dense,
    inferenceReal: real,
    trainingDense: passes * dense * history.length,
    trainingReal: history.reduce((total, epoch) => total + passes * workOf(epoch).real, 0),
    formula: flopsFormula(passesText),
  };
}
