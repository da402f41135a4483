/** The registry of training modes: a mode is one file and one row here. */
import { awp } from './awp.ts';
import { fast } from './fast.ts';
import { free } from './free.ts';
import { mart } from './mart.ts';
import type { TrainingMode } from './mode.ts';
import { pgd } from './pgd.ts';
import { sgd } from './sgd.ts';
import { trades } from './trades.ts';

export type { Gradients, ModeSettings, StepContext, TrainingMode } from './mode.ts';

export const trainingModes = { pgd, sgd, fast, trades, mart, awp, free } satisfies Record<string, TrainingMode>;
export type ModeName = keyof typeof trainingModes;
