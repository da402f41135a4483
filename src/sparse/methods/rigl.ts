/** RigL (Evci et al. 2020): ERK layers; alpha = .3 along a cosine, every 100 steps until 3/4 of the run; the largest gradients grow. */
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
