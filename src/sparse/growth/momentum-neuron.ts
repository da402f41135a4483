/**
 * Growth shared out over neurons (the variant of the program of Dettmers and Zettlemoyer 2019): an output neuron gets a share of the layer's growth in
 * proportion to its mean |momentum|, no more than it has free places, and grows its weights of the largest |momentum|. Counts are exact. Done on the host:
 * the counts of hundreds of neurons follow from the values.
 */
import { tensor } from '../../tensor/tensor.ts';
import { apportion } from '../apportion.ts';
import type { GrowthRule } from './rule.ts';

export const momentumNeuron: GrowthRule = {
  needs: 'momentum',
  async select({ shape, size }, kept, count, score) {
    const values = (await score!.floats()).map(Math.abs);
    const taken = await kept.floats();
    const neurons = shape[0];
    const width = size / neurons;
    const free = Array.from({ length: neurons }, (_, n) =>
      Array.from({ length: width }, (_, i) => n * width + i).filter(i => taken[i] === 0),
    );
    const means = free.map((_, n) => values.subarray(n * width, (n + 1) * width).reduce((a, b) => a + b, 0) / width);
    const counts = apportion(
      count,
      means,
      free.map(places => places.length),
    );
    const grown = new Float32Array(size);
    free.forEach((places, n) => {
      for (const i of places.sort((a, b) => values[b] - values[a] || a - b).slice(0, counts[n])) grown[i] = 1;
    });
    return tensor(kept.device, grown, shape);
  },
};
