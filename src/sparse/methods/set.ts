/** SET (Mocanu et al. 2018): Erdos-Renyi layers; after every epoch a constant fraction zeta = .3 dropped by sign, grown at random. */
import type { MethodDefaults } from './index.ts';

export const set: MethodDefaults = {
  sparseInit: 'er',
  death: 'SET',
  growth: 'random',
  deathRate: 0.3,
  decaySchedule: 'constant',
  updateFrequency: 'epoch',
};
