/** The largest |momentum|, which is kept without the mask for it (Dettmers and Zettlemoyer 2019, "Sparse Networks from Scratch"). */
import { gradient } from './gradient.ts';
import type { GrowthRule } from './rule.ts';

export const momentum: GrowthRule = { needs: 'momentum', select: gradient.select };
