/** In proportion to the mean |w| of the active weights, before the drop. */
import { elementwise } from '../../tensor/elementwise.ts';
import { sum } from '../../tensor/reduce.ts';
import type { RedistributionRule } from './rule.ts';

export const magnitude: RedistributionRule = {
  measure: ({ weight }) => sum(elementwise('abs', [weight])),
  share: ({ nnz }, total) => (nnz > 0 ? total / nnz : 0),
};
