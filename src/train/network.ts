/** The network of a configuration, on the device. */
import type { DataSet } from '../data/index.ts';
import type { Device } from '../device/index.ts';
import { createModel } from '../nn/models/index.ts';
import type { Module } from '../nn/module.ts';
import { maskedParameters } from '../sparse/masks.ts';
import { thinWidth } from '../sparse/small-dense.ts';
import { Random, Stream } from '../tensor/philox.ts';
import type { TrainConfig } from './config.ts';
import { modelOptions } from './model.ts';

export interface Network {
  readonly model: Module;
  /** Base width: that of the configuration, or with `--scale` the thinner one. */
  readonly width: number;
}

/** A new network with the initial weights of the seed. @throws UsageError for an architecture or a `--scale` that cannot be had */
export function createNetwork(
  device: Device,
  data: DataSet,
  config: Pick<TrainConfig, 'arch' | 'width' | 'depthFactor' | 'widthFactor' | 'scale' | 'seed'>,
): Network {
  const { arch, width, scale, seed } = config;
  const build = (w: number) =>
    createModel(arch, { device, random: new Random(seed, Stream.init) }, modelOptions({ ...config, width: w }, data));
  const weights = (w: number) => {
    const model = build(w);
    const count = [...maskedParameters(model).values()].reduce((n, p) => n + p.size, 0);
    model.dispose();
    return count;
  };
  const chosen = scale === undefined ? width : thinWidth(weights, width, scale);
  return { model: build(chosen), width: chosen };
}
