/** Any inactive weights, each as likely as the others. */
import { randomUniform } from '../../tensor/random.ts';
import { selectMask } from '../../tensor/select.ts';
import { scope } from '../../tensor/tensor.ts';
import type { GrowthRule } from './rule.ts';

export const random: GrowthRule = {
  select: ({ shape }, kept, count, _, stream) =>
    scope(kept.device, () =>
      selectMask(randomUniform(kept.device, shape, stream), count, { by: 'magnitude', among: { mask: kept, is: 'inactive' } }),
    ),
};
