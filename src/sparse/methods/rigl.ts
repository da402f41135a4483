/**
 * RigL (Evci et al. 2020): ERK layers; alpha = .3 along a cosine, every 100 steps until 3/4 of the run (on CIFAR-10 the authors' program has 75 000 of
 * 97 656 steps); the largest gradients grow. The cosine ends at .005, as every decay here, where theirs ends at 0.
 */
import type { MethodDefaults } from './index.ts';

export const rigl: MethodDefaults = {
  sparseInit: 'erk',
  death: 'magnitude',
  growth: 'gradient',
  deathRate: 0.3,
  decaySchedule: 'cosine',
  updateFrequency: 100,
  updateEnd: 0.75,
};
