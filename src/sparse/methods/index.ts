/** The registry of dynamic sparse methods that are settings of the same update: what each sets where its user says nothing. */
import type { Death } from '../death/index.ts';
import type { Initialiser } from '../densities/index.ts';
import type { Decay } from '../flying-bird.ts';
import type { Growth } from '../growth/index.ts';
import { itop } from './itop.ts';
import { rigl } from './rigl.ts';
import { set } from './set.ts';

export interface MethodDefaults {
  readonly sparseInit: Initialiser;
  readonly death: Death;
  readonly growth: Growth;
  /** Initial r. */
  readonly deathRate: number;
  readonly decaySchedule: Decay;
  /** Optimiser steps between updates, or after each epoch but the last. */
  readonly updateFrequency?: number | 'epoch';
  /** Fraction of the run after which masks stay. */
  readonly updateEnd?: number;
}

export const methods = { set, rigl, itop } satisfies Record<string, MethodDefaults>;
export type Method = keyof typeof methods;
