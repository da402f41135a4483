/** What the settings and the data of a run say about its network. */
import type { DataSet } from '../data/types.ts';
import type { ModelOptions } from '../nn/models/index.ts';
import type { Identity } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';

type NetworkSettings = Pick<TrainConfig, 'arch' | 'width' | 'depthFactor' | 'widthFactor'>;

/** The options of `createModel`. */
export function modelOptions(
  { width, depthFactor, widthFactor }: Omit<NetworkSettings, 'arch'>,
  { classes, shape, mean, std }: Pick<DataSet, 'classes' | 'shape' | 'mean' | 'std'>,
): ModelOptions {
  return { width, depthFactor, widthFactor, classes: classes.length, channels: shape[0], mean, std };
}

/** What identifies a network beside its data set; the factors count for wideresnet only. */
export function networkIdentity(settings: NetworkSettings): Pick<Identity, 'arch' | 'width' | 'depthFactor' | 'widthFactor'> {
  const { arch, width, depthFactor, widthFactor } = settings;
  return arch === 'wideresnet' ? { arch, width, depthFactor, widthFactor } : { arch, width };
}
