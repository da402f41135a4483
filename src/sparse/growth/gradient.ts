/** The largest |dense gradient| of the last batch (RigL, Evci et al. 2020). */
import { selectMask } from '../../tensor/select.ts';
import type { GrowthRule } from './rule.ts';

export const gradient: GrowthRule = {
  needs: 'gradient',
  select: (_, kept, count, score) => selectMask(score!, count, { by: 'magnitude', among: { mask: kept, is: 'inactive' } }),
};
