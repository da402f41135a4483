/** The registry of growth rules. */
import { gradient } from './gradient.ts';
import { momentum } from './momentum.ts';
import { momentumNeuron } from './momentum-neuron.ts';
import { random } from './random.ts';
import type { GrowthRule } from './rule.ts';

export type { GrowthRule } from './rule.ts';

export const growthRules = { random, gradient, momentum, momentum_neuron: momentumNeuron } as const satisfies Record<
  string,
  GrowthRule
>;
export type Growth = keyof typeof growthRules;

/** The dense tensor that a rule ranks by, if any. */
export const growthNeeds = (growth: Growth): GrowthRule['needs'] => (growthRules[growth] as GrowthRule).needs;
