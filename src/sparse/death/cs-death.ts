/**
 * Connection sensitivity: the active weights of smallest |w·dL/dw|, the first-order change of the loss if the weight were 0 (the score of SNIP, Lee et al. 2019), with
 * the gradient of the last batch.
 *
 * The programs of this family list `CS_death` among their death modes, and none of them can run it: what is left of it returns a SNIP mask that nothing makes. The
 * rule is the one that its comments give, "|gradient · weight|, remove the ceil(r·nnz) smallest"; its factor (mask == 0) is read as (mask == 1), since only active
 * weights can be dropped.
 */
import { elementwise } from '../../tensor/elementwise.ts';
import { selectMask } from '../../tensor/select.ts';
import type { DeathRule } from './rule.ts';

export const csDeath: DeathRule = {
  needs: 'gradient',
  select: ({ weight, mask, gradient }, count) =>
    selectMask(elementwise('mul', [weight, gradient!]), count, { by: 'smallestMagnitude', among: { mask, is: 'active' } }),
};
