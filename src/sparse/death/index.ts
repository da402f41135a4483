/** The registry of death rules. */
import { magnitude } from './magnitude.ts';
import type { DeathRule } from './rule.ts';
import { set } from './set.ts';
import { threshold } from './threshold.ts';

export type { DeathRule } from './rule.ts';

export const deathRules = { magnitude, SET: set, threshold } satisfies Record<string, DeathRule>;
export type Death = keyof typeof deathRules;
