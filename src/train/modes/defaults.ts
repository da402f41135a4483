/** The defaults that differ from those of the table of flags: those of the modes' papers. */
import type { ModeName } from './index.ts';

export interface ModeDefaults {
  readonly lr: number;
  readonly lrSchedule: 'multistep' | 'cyclic';
  readonly beta: number;
}

export const modeDefaults: Readonly<Partial<Record<ModeName, Partial<ModeDefaults>>>> = {
  fast: { lr: 0.2, lrSchedule: 'cyclic' },
  mart: { beta: 5 },
};
