/**
 * In-time over-parameterisation (Liu et al. 2021, "Do We Actually Need Dense Over-Parameterization?"): SET with long intervals, so that what has grown is
 * trained before it is judged. `--growth gradient --update-frequency 4000` makes RigL-ITOP of it. The rate Rs is reported as `fired`.
 */
import type { MethodDefaults } from './index.ts';

export const itop: MethodDefaults = {
  sparseInit: 'erk',
  death: 'magnitude',
  growth: 'random',
  deathRate: 0.5,
  decaySchedule: 'cosine',
  updateFrequency: 1500,
};
