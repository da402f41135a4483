/** The registry of death rules. */
import { csDeath } from './cs-death.ts';
import { magnitude } from './magnitude.ts';
import type { DeathRule } from './rule.ts';
import { set } from './set.ts';
import { threshold } from './threshold.ts';

export type { DeathRule } from './rule.ts';

export const deathRules = { magnitude, SET: set, threshold, CS_death: csDeath } as const satisfies Record<string, DeathRule>;
export type Death = keyof typeof deathRules;

/** The dense tensor that a rule ranks by, if any. */
export const deathNeeds = (death: Death): DeathRule['needs'] => (deathRules[death] as DeathRule).needs;
