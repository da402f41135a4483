/** The registry of architectures: a model is one file and one row here. */
import { UsageError } from '../../errors.ts';
import type { Maker } from '../layers.ts';
import type { Module } from '../module.ts';
import { resnet18 } from './preact-resnet.ts';
import { resnet8 } from './small-resnet.ts';

export interface ModelOptions {
  /** Base width; each architecture has its own default. */
  width?: number;
  classes: number;
  /** Channels of the images, 3 by default. */
  channels?: number;
  /** Channel means and deviations of the data, for the normalisation inside the model. */
  mean: readonly number[];
  std: readonly number[];
}

export const models: Readonly<Record<string, (make: Maker, options: ModelOptions) => Module>> = { resnet18, resnet8 };

/** A new model with PyTorch's default initialisation. @throws UsageError for an unknown architecture, naming the known ones */
export function createModel(arch: string, make: Maker, options: ModelOptions): Module {
  const build = Object.hasOwn(models, arch) ? models[arch] : undefined;
  if (!build) throw new UsageError(`unknown architecture '${arch}': use ${Object.keys(models).join(', ')}`);
  return build(make, options);
}
