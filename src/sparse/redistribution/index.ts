/** The registry of redistribution rules. */
import { magnitude } from './magnitude.ts';
import { momentum } from './momentum.ts';
import { nonzeros } from './nonzeros.ts';
import type { RedistributionRule } from './rule.ts';

export type { RedistributionRule } from './rule.ts';

/** `none`: every layer grows what it dropped. */
export const redistributionRules = { none: undefined, momentum, magnitude, nonzeros } as const satisfies Record<
  string,
  RedistributionRule | undefined
>;
export type Redistribution = keyof typeof redistributionRules;
