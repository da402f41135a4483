/** In proportion to the mean |momentum| of the active weights (Dettmers and Zettlemoyer 2019). */
import { elementwise } from '../../tensor/elementwise.ts';
import { sum } from '../../tensor/reduce.ts';
import type { RedistributionRule } from './rule.ts';

export const momentum: RedistributionRule = {
  measure({ name, momentum: v }) {
    if (!v) throw new Error(`redistribution by momentum needs the momentum of ${name}`);
    return sum(elementwise('abs', [v]));
  },
  share: ({ nnz }, total) => (nnz > 0 ? total / nnz : 0),
};
