/** |w|: magnitude pruning of the weights as they stand, those of a new network or (OMP) of a trained one. */
import { elementwise } from '../../tensor/elementwise.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Scores } from './scores.ts';

export function magnitudeScores(weights: ReadonlyMap<string, Tensor>): Scores {
  return new Map([...weights].map(([name, w]) => [name, elementwise('abs', [w])]));
}
