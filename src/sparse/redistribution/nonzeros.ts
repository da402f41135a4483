/** In proportion to the number of active weights, before the drop. */
import type { RedistributionRule } from './rule.ts';

export const nonzeros: RedistributionRule = { share: ({ nnz }) => nnz };
