/** The same density everywhere. */
import type { DensityRule } from './rule.ts';

export const uniform: DensityRule = (layers, density) => layers.map(() => density);
