/**
 * The rule of SET (Mocanu et al. 2018): the same fraction of the positive and of the negative active weights, those closest to zero of each sign. Of n
 * dropped weights round(n·P/nnz) are positive, P the number of positive active weights; active zeros count among the negative.
 */
import { elementwise } from '../../tensor/elementwise.ts';
import { sum } from '../../tensor/reduce.ts';
import { selectMask } from '../../tensor/select.ts';
import { type Tensor, zeros } from '../../tensor/tensor.ts';
import type { DeathRule } from './rule.ts';

/** 1 where an active weight is above 0. Masked weights are 0. */
const positive = (weight: Tensor) => elementwise('greater', [weight, zeros(weight.device, [1])]);

export const set: DeathRule = {
  measure: ({ weight }) => sum(positive(weight)),
  select({ weight, mask, nnz }, count, positives) {
    const above = Math.round((count * positives) / nnz);
    const plus = positive(weight);
    const others = elementwise('sub', [mask, plus]);
    const smallest = (among: Tensor, k: number) =>
      selectMask(weight, k, { by: 'smallestMagnitude', among: { mask: among, is: 'active' } });
    return elementwise('add', [smallest(plus, above), smallest(others, count - above)]);
  },
};
