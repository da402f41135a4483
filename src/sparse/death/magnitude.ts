/** The smallest |w| of the active weights. */
import { selectMask } from '../../tensor/select.ts';
import type { DeathRule } from './rule.ts';

export const magnitude: DeathRule = {
  select: ({ weight, mask }, count) => selectMask(weight, count, { by: 'smallestMagnitude', among: { mask, is: 'active' } }),
};
