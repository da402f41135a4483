/** Uniform numbers: every weight of the network is as likely as any other, and only the total is fixed. */
import type { Random } from '../../tensor/philox.ts';
import { randomUniform } from '../../tensor/random.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Scores } from './scores.ts';

export function randomScores(weights: ReadonlyMap<string, Tensor>, random: Random): Scores {
  return new Map([...weights].map(([name, w]) => [name, randomUniform(w.device, w.shape, random)]));
}
